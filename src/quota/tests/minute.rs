//! A minute in which 500 callers ask for three times the quota, against models of Bedrock's quota that know nothing of the ledger: a bucket
//! that refills evenly, and a window of the last minute. Beside it, clients that send at once and retry with backoff.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use tokio::task::{JoinSet, LocalSet};

use super::*;
use crate::simulation;

const CALLERS: usize = 500;
const QUOTA: u64 = 600_000;

/// The characters of a prompt for which Bedrock counts a token. The ledger estimates four.
const BYTES_PER_TOKEN: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Bucket,
    Window,
}

/// A model of Bedrock's quota.
struct Bedrock {
    shape: Shape,
    /// The calls of the last minute: when they began, and what they hold or cost. A bucket keeps one sum.
    calls: VecDeque<(Instant, u64, u64)>,
    next: u64,
    level: f64,
    at: Instant,
    calls_in_all: u64,
    throttled: u64,
    charged: u64,
}

impl Bedrock {
    fn new(shape: Shape) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            shape,
            calls: VecDeque::new(),
            next: 0,
            level: QUOTA as f64,
            at: Instant::now(),
            calls_in_all: 0,
            throttled: 0,
            charged: 0,
        }))
    }

    fn refill(&mut self) {
        let now = Instant::now();
        self.level = (self.level + QUOTA as f64 / 60.0 * (now - self.at).as_secs_f64()).min(QUOTA as f64);
        self.at = now;
        while self.calls.front().is_some_and(|(at, ..)| *at + Duration::from_mins(1) <= now) {
            self.calls.pop_front();
        }
    }

    fn begin(&mut self, tokens: u64) -> Option<u64> {
        self.refill();
        self.calls_in_all += 1;
        let has = match self.shape {
            Shape::Bucket => self.level >= tokens as f64,
            Shape::Window => self.calls.iter().map(|(_, _, held)| held).sum::<u64>() + tokens <= QUOTA,
        };
        if !has {
            self.throttled += 1;
            return None;
        }
        self.level -= tokens as f64;
        self.next += 1;
        self.calls.push_back((self.at, self.next, tokens));
        Some(self.next)
    }

    fn end(&mut self, id: u64, tokens: u64, charged: u64) {
        self.refill();
        self.level += tokens as f64 - charged as f64;
        self.charged += charged;
        if let Some((.., held)) = self.calls.iter_mut().find(|(_, call, _)| *call == id) {
            *held = charged;
        }
    }
}

/// What a minute has led to: the part of the calls that was throttled, and the part of the quota that was used.
#[derive(Clone, Copy, Debug)]
struct Minute {
    throttled_share: f64,
    used_share: f64,
}

/// One call: what it reserves at Bedrock, what it will use, and for how long it runs.
struct TestCall {
    prompt: String,
    max_tokens: u32,
    used: Used,
    runs: Duration,
}

impl TestCall {
    fn any(random: &mut fastrand::Rng) -> Self {
        let (input, max_tokens) = (random.u32(100..1_000), 500);
        let used = used(input, random.u32(20..max_tokens / 2));
        let runs = Duration::from_millis(random.u64(500..8_000));
        Self { prompt: "a".repeat(input as usize * BYTES_PER_TOKEN), max_tokens, used, runs }
    }

    fn reserves(&self) -> u64 {
        u64::from(self.used.input + self.max_tokens)
    }

    fn charged(&self) -> u64 {
        u64::from(self.used.input + self.used.output)
    }
}

/// The mean time between two calls of a caller: so that they ask for three times the quota.
fn pause(random: &mut fastrand::Rng) -> Duration {
    let mean = CALLERS as f64 * 60.0 * 685.0 / (3.0 * QUOTA as f64);
    Duration::from_secs_f64(mean * 2.0 * random.f64())
}

async fn through_the_ledger(ledger: Ledger, bedrock: Rc<RefCell<Bedrock>>, number: usize, seed: u64) {
    let (random, caller) = (&mut fastrand::Rng::with_seed(seed), client(&number.to_string()));
    let target = [Target::here("a.b")];
    loop {
        sleep(pause(random)).await;
        let asked = TestCall::any(random);
        let asks = demand_with(&asked.prompt, &caller, i32::try_from(asked.max_tokens).unwrap());
        let Ok(Granted { reservation: Some(mut reservation), .. }) = reserve(&ledger, &target, &asks).await else {
            continue;
        };
        reservation.sent();
        let begun = bedrock.borrow_mut().begin(asked.reserves());
        let Some(id) = begun else {
            reservation.failed(
                &Error::new(Reason::BedrockThrottled, "the model of Bedrock has no room"),
                Phase::BeforeContent,
            );
            continue;
        };
        sleep(asked.runs).await;
        bedrock.borrow_mut().end(id, asked.reserves(), asked.charged());
        reservation.settle(asked.used);
    }
}

async fn with_retries(bedrock: Rc<RefCell<Bedrock>>, seed: u64) {
    let random = &mut fastrand::Rng::with_seed(seed);
    loop {
        sleep(pause(random)).await;
        let asked = TestCall::any(random);
        // The standard mode of the AWS SDKs, with more attempts: backoff with full jitter.
        for attempt in 0..5 {
            let begun = bedrock.borrow_mut().begin(asked.reserves());
            if let Some(id) = begun {
                sleep(asked.runs).await;
                bedrock.borrow_mut().end(id, asked.reserves(), asked.charged());
                break;
            }
            sleep(Duration::from_secs_f64(random.f64() * f64::from(1 << attempt).min(20.0))).await;
        }
    }
}

/// Three minutes in a row, with the ledger of these settings or with clients that retry.
async fn minutes(shape: Shape, random: &mut fastrand::Rng, through: Option<&QuotaSettings>) -> Vec<Minute> {
    let (bedrock, local, mut callers) = (Bedrock::new(shape), LocalSet::new(), JoinSet::new());
    let ledger = Ledger::new("us-east-1", through.unwrap_or(&QuotaSettings::default()));
    for number in 0..CALLERS {
        let (bedrock, seed) = (Rc::clone(&bedrock), random.u64(..));
        if through.is_some() {
            callers.spawn_local_on(through_the_ledger(ledger.clone(), bedrock, number, seed), &local);
        } else {
            callers.spawn_local_on(with_retries(bedrock, seed), &local);
        }
    }
    let mut minutes = Vec::new();
    local
        .run_until(with(&ledger, async {
            for _ in 0..3 {
                {
                    let mut bedrock = bedrock.borrow_mut();
                    (bedrock.throttled, bedrock.calls_in_all, bedrock.charged) = (0, 0, 0);
                }
                sleep(Duration::from_mins(1)).await;
                let bedrock = bedrock.borrow();
                minutes.push(Minute {
                    throttled_share: bedrock.throttled as f64 / bedrock.calls_in_all as f64,
                    used_share: bedrock.charged as f64 / QUOTA as f64,
                });
            }
        }))
        .await;
    minutes
}

#[test]
fn a_minute_at_three_times_the_quota_has_few_throttles_and_uses_the_quota() {
    simulation::run(3, async |mut random| {
        for shape in [Shape::Bucket, Shape::Window] {
            let quota = ModelQuota { tokens_per_minute: NonZeroU64::new(QUOTA), ..ModelQuota::of("a.b") };
            let through = minutes(shape, &mut random, Some(&settings([quota]))).await;
            let retrying = minutes(shape, &mut random, None).await;
            let (first, later) = (through[0], through[2]);
            assert!(first.throttled_share <= 0.01 && first.used_share >= 0.95, "{shape:?}: {through:?}");
            assert!(later.throttled_share <= 0.01 && later.used_share >= 0.85, "{shape:?}: {through:?}");
            assert!(retrying[2].throttled_share >= 0.5, "clients that retry: {shape:?}: {retrying:?}");
        }
    });
}

#[test]
fn a_quota_that_is_configured_twice_too_high_corrects_itself() {
    simulation::run(3, async |mut random| {
        let quota = ModelQuota { tokens_per_minute: NonZeroU64::new(2 * QUOTA), ..ModelQuota::of("a.b") };
        let minutes = minutes(Shape::Bucket, &mut random, Some(&settings([quota]))).await;
        let last = minutes[2];
        assert!(last.throttled_share <= 0.03 && last.used_share >= 0.8, "{minutes:?}");
    });
}
