//! A simulation of callers who come, wait, leave and settle in any order: permits and tokens are exactly those of the calls that
//! have them.

mod budgets;
mod sharing;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::{ClientId, ClientLimits},
    rate_limit::ClientRate,
    *,
};
use crate::{
    event::Used,
    proto::InferenceConfiguration,
    simulation::{self, until_left},
};

const CLIENTS: u8 = 3;
const CALLS: usize = 60;

/// The tokens of a minute. Half of them are used at the beginning, so that in the time of a simulation no bucket is full, and
/// the time adds nothing to what the calls have used.
const PER_MINUTE: u32 = 60_000;

/// The streams that client 0 may have by its own limit.
const OWN_STREAMS: usize = 2;

fn client(number: u8) -> Client {
    let id = ClientId::of_address(IpAddr::from([192, 0, 2, number]));
    let max_streams = (number == 0).then_some(OWN_STREAMS);
    Client { limits: ClientLimits { max_streams, ..ClientLimits::default() }, ..Client::of(id) }
}

fn tokens_of(number: u8) -> ClientRate {
    AdmissionControl::default().rate_of(&client(number), NonZeroU32::new(PER_MINUTE)).unwrap()
}

/// The calls that run now, by the limits that count them.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<BTreeMap<String, usize>>>);

/// Counted while it lives.
struct Counted(Running, Vec<String>);

impl Running {
    /// Counts a call, and asserts that no limit is exceeded.
    fn enter(&self, limits: &[(String, usize)]) -> Counted {
        let mut running = self.0.lock();
        for (subject, limit) in limits {
            let now = running.entry(subject.clone()).or_default();
            *now += 1;
            assert!(*now <= *limit, "{now} calls of {subject}, and {limit} are allowed");
        }
        Counted(self.clone(), limits.iter().map(|(subject, _)| subject.clone()).collect())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for subject in &self.1 {
            *self.0.0.lock().get_mut(subject).unwrap() -= 1;
        }
    }
}

fn any_settings(random: &mut fastrand::Rng) -> LimitSettings {
    LimitSettings {
        streams: random.usize(1..8),
        streams_per_caller: random.bool().then(|| random.usize(1..4)),
        streams_per_model: random.bool().then(|| random.usize(1..4)),
        requests_per_minute: None,
        other_requests_per_minute: None,
        tokens_per_minute: NonZeroU32::new(PER_MINUTE),
        reserved_tokens: 100,
        queue_time: Duration::from_millis(random.u64(..3) * 300),
        queue_length: random.usize(1..20),
    }
}

fn asked<'a>(
    client: &'a Client,
    model: &'a str,
    request: &'a GenerateRequest,
    quotas: &'a Arc<QuotaSettings>,
) -> AdmissionRequest<'a> {
    AdmissionRequest { client, model, request, route: &[], quotas }
}

/// What a call leads to, in the order of a run.
type Tally = BTreeMap<&'static str, u64>;

/// One call. Returns the tokens that it has used in the end.
async fn call(
    control: AdmissionControl,
    newest: Arc<Mutex<Limits>>,
    running: Running,
    seed: u64,
) -> (u8, u32, &'static str) {
    let random = &mut fastrand::Rng::with_seed(seed);
    sleep(Duration::from_millis(random.u64(..2_000))).await;
    let (number, model) = (random.u8(..CLIENTS), ["a.b", "c.d"][random.usize(..2)]);
    let output = i32::from(random.u16(1..3_000));
    let config = InferenceConfiguration { max_tokens: Some(output), ..InferenceConfiguration::default() };
    let request = GenerateRequest { inference_config: Some(config), ..GenerateRequest::default() };
    let caller = client(number);
    let limits = newest.lock().clone();
    let quotas = Arc::default();
    let admitted = control.admit(&limits, asked(&caller, model, &request, &quotas));
    let admitted = until_left(&mut random.fork(), true, Duration::from_secs(1), admitted).await;
    let permit = match admitted {
        None => return (number, 0, "left"),
        Some(Err(error)) => {
            assert_eq!(error.reason(), Reason::LocalLimit);
            return (
                number,
                0,
                if format!("{error:?}").contains("tokens-per-minute") { "no tokens" } else { "no permit" },
            );
        }
        Some(Ok(permit)) => permit,
    };
    // A call that began before the last change has its own limits, and every other one the newest.
    let is_newest = newest.lock().generation == limits.generation;
    let LimitSettings { streams, streams_per_caller, streams_per_model, .. } = limits.settings;
    let limits = [
        (Some(streams), "server".to_owned()),
        (caller.limits.max_streams.or(streams_per_caller), format!("caller {number}")),
        (streams_per_model, format!("model {model}")),
    ];
    let most = |limit: Option<usize>| limit.filter(|_| is_newest).unwrap_or(usize::MAX);
    let counted = running.enter(&limits.map(|(limit, subject)| (subject, most(limit))));
    let Permit { streams, reservation } = permit;
    until_left(random, true, Duration::from_secs(1), sleep(Duration::from_millis(300))).await;
    drop(counted);
    drop(streams);
    sleep(Duration::from_millis(random.u64(..300))).await;
    let Reservation { input, reserved, .. } = reservation;
    let used = random.u32(..4_000);
    match random.u8(..4) {
        0 => return (number, reserved, "not settled"),
        1 => reservation.settle_input(),
        _ => {
            reservation.settle(Used { input: used, ..Used::default() }, model);
            return (number, used, "settled");
        }
    }
    (number, input, "input settled")
}

async fn simulate(random: &mut fastrand::Rng, tally: &mut Tally) {
    let newest = Arc::new(Mutex::new(Limits { settings: any_settings(random), generation: 1 }));
    let control = AdmissionControl::default();
    let tokens = &control.0.tokens;
    let mut used: BTreeMap<u8, u128> = BTreeMap::new();
    for number in 0..CLIENTS {
        tokens.take(&tokens_of(number), PER_MINUTE / 2).unwrap();
        used.insert(number, u128::from(PER_MINUTE / 2));
    }
    let (running, mut calls) = (Running::default(), JoinSet::new());
    for _ in 0..CALLS {
        calls.spawn(call(control.clone(), Arc::clone(&newest), running.clone(), random.u64(..)));
    }
    let ended = timeout(Duration::from_secs(20), async {
        while let Some(call) = calls.join_next().await {
            let (number, tokens, outcome) = call.unwrap();
            *used.get_mut(&number).unwrap() += u128::from(tokens);
            *tally.entry(outcome).or_default() += 1;
        }
    });
    let mut changes = random.fork();
    tokio::select! {
        ended = ended => ended.expect("no call waits without a limit"),
        () = change(&control, &newest, &mut changes) => {}
    }
    for (number, used) in used {
        assert_eq!(tokens.used(&tokens_of(number)), Some(used), "tokens of client {number}");
    }
    assert_all_returned(&control);
}

/// Changes the limits again and again, as reloads do.
async fn change(control: &AdmissionControl, newest: &Mutex<Limits>, random: &mut fastrand::Rng) {
    loop {
        sleep(Duration::from_millis(random.u64(50..1_000))).await;
        let generation = newest.lock().generation + 1;
        let next = Limits { settings: any_settings(random), generation };
        *newest.lock() = next.clone();
        let own = |name: &str| (name == client(0).id.to_string()).then_some(OWN_STREAMS);
        control.follow(&next, own);
    }
}

/// Every permit and every place in the queue is free, and no key is remembered.
fn assert_all_returned(control: &AdmissionControl) {
    let Inner { all, per_caller, per_model, queue, queue_per_client, .. } = &*control.0;
    for limit in [all, per_caller, per_model, queue, queue_per_client] {
        assert_eq!(limit.keys_in_use(), 0, "{limit:?}");
    }
}

#[test]
fn permits_and_tokens_are_exactly_those_of_the_calls_that_have_them() {
    let mut tally = Tally::new();
    let seeds = simulation::run(100, async |mut random| simulate(&mut random, &mut tally).await);
    if seeds.end - seeds.start >= 100 {
        for outcome in ["left", "no tokens", "no permit", "not settled", "settled", "input settled"] {
            assert!(tally.contains_key(outcome), "{outcome} was never reached: {tally:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_the_queue_gets_its_tokens_back() {
    let settings = LimitSettings {
        streams: 1,
        tokens_per_minute: NonZeroU32::new(PER_MINUTE),
        queue_time: Duration::from_mins(1),
        ..LimitSettings::default()
    };
    let limits = Limits { settings, generation: 1 };
    let (control, request, quotas) = (AdmissionControl::default(), GenerateRequest::default(), Arc::default());
    let (one, two) = (client(1), client(2));
    let running = control.admit(&limits, asked(&one, "a.b", &request, &quotas)).await.unwrap();
    let waiting = timeout(Duration::ZERO, control.admit(&limits, asked(&two, "a.b", &request, &quotas))).await;
    assert!(waiting.is_err(), "it waits until its caller leaves");
    assert_eq!(control.0.tokens.used(&tokens_of(2)), Some(0));
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_holds_no_permit_that_a_lower_limit_has_taken_away() {
    let of = |streams, per_caller, generation| Limits {
        settings: LimitSettings {
            streams,
            streams_per_caller: Some(per_caller),
            queue_time: Duration::from_mins(1),
            ..LimitSettings::default()
        },
        generation,
    };
    let (control, limits) = (AdmissionControl::default(), of(1, 2, 1));
    let (request, quotas) = (GenerateRequest::default(), Arc::default());
    let one = client(1);
    let running = control.admit(&limits, asked(&one, "a.b", &request, &quotas)).await.unwrap();
    let mut waiting = Box::pin(control.admit(&limits, asked(&one, "a.b", &request, &quotas)));
    assert!(
        timeout(Duration::from_secs(1), &mut waiting).await.is_err(),
        "it has the permit of its caller, and no other"
    );
    control.follow(&of(2, 1, 2), |_| None);
    assert!(
        timeout(Duration::from_secs(1), &mut waiting).await.is_err(),
        "the server has room, and the caller has none"
    );
    drop(running);
    drop(waiting.await.unwrap());
    assert_all_returned(&control);
}

/// Attempts of many callers at once never share one permit.
#[tokio::test]
async fn a_permit_is_never_given_twice_by_threads_at_once() {
    let (limit, running) = (Arc::new(ConcurrencyLimit::default()), Arc::new(AtomicUsize::new(0)));
    let threads = (0..8).map(|_| {
        let (limit, running) = (Arc::clone(&limit), Arc::clone(&running));
        std::thread::spawn(move || {
            for _ in 0..2_000 {
                if let Some(permit) = limit.try_acquire("key", Limit { permits: Some(3), generation: 1 }) {
                    assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            }
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(limit.keys_in_use(), 0);
}
