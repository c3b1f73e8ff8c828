//! Tests of the values of codes, with paused time.

use std::{
    collections::HashMap,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::time::sleep;

use super::*;
use crate::error::Reason;

/// A quota of 10 tokens and 20 requests a minute with these codes.
fn quota(model: &str, region: Option<&str>, tokens: &str, requests: &str) -> ModelQuota {
    let code = |code: &str| (!code.is_empty()).then(|| code.to_owned());
    ModelQuota {
        region: region.map(str::to_owned),
        tokens_per_minute: NonZeroU64::new(10),
        requests_per_minute: NonZeroU64::new(20),
        tokens_per_minute_code: code(tokens),
        requests_per_minute_code: code(requests),
        ..ModelQuota::of(model)
    }
}

fn settings(quotas: &[ModelQuota]) -> QuotaSettings {
    QuotaSettings { quotas: quotas.to_vec(), ..QuotaSettings::default() }
}

/// The tokens and the requests of each quota.
type Numbers = Vec<(u64, u64)>;

fn numbers(settings: &QuotaSettings) -> Numbers {
    let number = |number: Option<NonZeroU64>| number.map_or(0, NonZeroU64::get);
    settings.quotas.iter().map(|quota| (number(quota.tokens_per_minute), number(quota.requests_per_minute))).collect()
}

/// A Service Quotas whose values change.
#[derive(Default)]
struct Aws {
    values: Mutex<HashMap<String, f64>>,
    asked: Mutex<Vec<String>>,
}

impl Aws {
    fn set(&self, code: &str, value: f64) {
        self.values.lock().insert(code.to_owned(), value);
    }

    /// How many requests there were since the last look.
    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock()).len()
    }
}

impl ReadCode for Aws {
    async fn read_code(&self, region: &str, code: &str) -> Result<f64, Error> {
        let name = format!("{region}/{code}");
        self.asked.lock().push(name.clone());
        sleep(Duration::from_millis(10)).await;
        let value = self.values.lock().get(&name).copied();
        value.ok_or_else(|| Error::new(Reason::BedrockAccessDenied, "not allowed"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_replaces_the_number_beside_its_code_in_its_region_and_a_failure_keeps_the_last_one() {
    let aws = Aws::default();
    aws.set("here/A", 1_000.9);
    aws.set("there/A", 3_000.0);
    aws.set("here/B", 40.0);
    let quotas = CodedQuotas::new("here");
    let settings = settings(&[
        quota("a.b", None, "A", "B"),
        quota("a.b", Some("there"), "A", "C"),
        quota("c.d", Some("here"), "", ""),
    ]);
    assert_eq!(numbers(&quotas.applied(&settings)), [(10, 20), (10, 20), (10, 20)], "nothing was read yet");
    quotas.begin(&settings, &aws).await;
    assert_eq!(numbers(&quotas.applied(&settings)), [(1_000, 40), (3_000, 20), (10, 20)]);
    aws.values.lock().clear();
    for unusable in [0.0, -5.0, 0.5, f64::NAN, f64::INFINITY, 1e13] {
        aws.set("here/A", unusable);
        quotas.begin(&settings, &aws).await;
        assert_eq!(numbers(&quotas.applied(&settings)), [(1_000, 40), (3_000, 20), (10, 20)], "{unusable}");
    }
}

/// Answers for one code.
struct Only(&'static str);

impl ReadCode for Only {
    async fn read_code(&self, _: &str, code: &str) -> Result<f64, Error> {
        if code == self.0 { Ok(7.0) } else { pending().await }
    }
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_for_a_bounded_time() {
    let (quotas, began) = (CodedQuotas::new("here"), Instant::now());
    let settings = settings(&[quota("a.b", None, "A", "B")]);
    quotas.begin(&settings, &Only("A")).await;
    assert_eq!(began.elapsed(), START);
    assert_eq!(numbers(&quotas.applied(&settings)), [(7, 20)], "what came in time holds");
    let began = Instant::now();
    quotas.begin(&super::tests::settings(&[]), &Only("")).await;
    assert!(began.elapsed().is_zero(), "without codes nothing is asked");
}

/// What runs, and how often it has applied settings.
struct Running {
    aws: Arc<Aws>,
    quotas: CodedQuotas,
    in_force: Arc<Mutex<Arc<QuotaSettings>>>,
    applied: Arc<Mutex<Vec<Numbers>>>,
}

impl Running {
    fn new(first: QuotaSettings) -> Self {
        let in_force = Arc::new(Mutex::new(Arc::new(first)));
        Self { aws: Arc::default(), quotas: CodedQuotas::new("here"), in_force, applied: Arc::default() }
    }

    /// Runs it for this time.
    async fn run_for(&self, time: Duration) {
        let Self { aws, quotas, in_force, applied } = self;
        let run =
            quotas.run(|| Arc::clone(&in_force.lock()), &**aws, |settings| applied.lock().push(numbers(settings)));
        assert!(timeout(time, run).await.is_err(), "it does not end");
    }

    fn last(&self) -> Option<Numbers> {
        std::mem::take(&mut *self.applied.lock()).pop()
    }
}

#[tokio::test(start_paused = true)]
async fn all_codes_are_read_every_hour_and_sooner_after_a_failure() {
    let running = Running::new(settings(&[quota("a.b", None, "A", "")]));
    running.aws.set("here/A", 5.0);
    running.run_for(Duration::from_secs(1)).await;
    assert_eq!((running.aws.asked(), running.last()), (1, Some(vec![(5, 20)])), "the start did not wait for it");
    running.aws.set("here/A", 6.0);
    running.run_for(INTERVAL / 2).await;
    assert_eq!((running.aws.asked(), running.last()), (0, None));
    running.run_for(INTERVAL + Duration::from_secs(1)).await;
    assert_eq!((running.aws.asked(), running.last()), (1, Some(vec![(6, 20)])));
    running.aws.values.lock().clear();
    running.run_for(INTERVAL + 3 * RETRY + Duration::from_secs(1)).await;
    assert_eq!((running.aws.asked(), running.last()), (4, Some(vec![(6, 20)])), "the last value holds");
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_is_read_at_once_and_its_old_codes_are_forgotten() {
    let running = Running::new(settings(&[quota("a.b", None, "A", "")]));
    running.aws.set("here/A", 5.0);
    running.aws.set("here/B", 6.0);
    let change = async {
        sleep(Duration::from_mins(1)).await;
        assert_eq!(running.aws.asked(), 1);
        *running.in_force.lock() = Arc::new(settings(&[quota("a.b", None, "B", "")]));
        running.quotas.changed();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((running.aws.asked(), running.last()), (1, Some(vec![(6, 20)])));
        // A change of something else reads nothing, and does not put the hour off.
        for _ in 0..70 {
            running.quotas.changed();
            sleep(Duration::from_mins(1)).await;
        }
        assert_eq!(running.aws.asked(), 1);
    };
    tokio::join!(change, running.run_for(Duration::from_hours(2)));
    let known = running.quotas.0.known.lock();
    assert_eq!(known.values.keys().map(|code| code.code.as_str()).collect::<Vec<_>>(), ["B"]);
}

/// Counts the requests at the same time.
#[derive(Default)]
struct Slow {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl ReadCode for Slow {
    async fn read_code(&self, _: &str, _: &str) -> Result<f64, Error> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        Ok(3.0)
    }
}

#[tokio::test(start_paused = true)]
async fn few_codes_are_read_at_the_same_time() {
    let (quotas, slow) = (CodedQuotas::new("here"), Slow::default());
    let all: Vec<_> = (0..20).map(|number| quota("a.b", None, &format!("{number}"), "")).collect();
    quotas.begin(&settings(&all), &slow).await;
    assert_eq!(slow.most.load(Ordering::Relaxed), AT_ONCE);
    assert!(numbers(&quotas.applied(&settings(&all))).iter().all(|numbers| *numbers == (3, 20)));
}
