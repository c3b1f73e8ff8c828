//! Callers who come, wait, leave at any await, and whose calls end in every way, against a model of Bedrock's quota: whatever happens, the
//! ledger gives out no more than the quota, loses nothing, and no call waits while there is room.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use tokio::task::{JoinSet, LocalSet};

use super::*;
use crate::simulation::{self, until_left};

/// A model of Bedrock's quota of a minute, written without the bucket of the ledger.
struct Bedrock {
    per_minute: f64,
    level: f64,
    at: Instant,
    throttled: u64,
}

impl Bedrock {
    fn new(per_minute: u64) -> Self {
        Self { per_minute: per_minute as f64, level: per_minute as f64, at: Instant::now(), throttled: 0 }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        self.level = (self.level + self.per_minute / 60.0 * (now - self.at).as_secs_f64()).min(self.per_minute);
        self.at = now;
    }

    fn begin(&mut self, tokens: u64) -> bool {
        self.refill();
        let has = self.level + 1e-3 >= tokens as f64;
        if has {
            self.level -= tokens as f64;
        } else {
            self.throttled += 1;
        }
        has
    }

    fn end(&mut self, tokens: u64, charged: u64) {
        self.refill();
        self.level += tokens as f64 - charged as f64;
    }
}

type Bedrocks = Rc<RefCell<BTreeMap<String, Bedrock>>>;

async fn call(ledger: Ledger, bedrocks: Bedrocks, seed: u64) -> &'static str {
    let random = &mut fastrand::Rng::with_seed(seed);
    sleep(Duration::from_millis(random.u64(..60_000))).await;
    let caller = client(["one", "two", "three"][random.usize(..3)]);
    let mut asks = demand(&caller, random.i32(1..2_000));
    asks.is_batch = random.u8(..4) == 0;
    asks.queue_share = QueueShare { weight: random.u32(1..500), is_batch: false };
    asks.preferred = random.bool().then(|| Target::here("c.d"));
    let targets =
        if random.bool() { vec![Target::here("a.b"), Target::here("c.d")] } else { vec![Target::here("a.b")] };
    let waits = until_left(&mut random.fork(), true, Duration::from_secs(3), reserve(&ledger, &targets, &asks)).await;
    let granted = match waits {
        None => return "left",
        Some(Err(error)) => {
            assert_eq!(error.reason(), Reason::QuotaExhausted);
            return "refused";
        }
        Some(Ok(granted)) => granted,
    };
    let (model, mut reservation) = (targets[granted.at].model_id.clone(), granted.reservation.unwrap());
    if random.u8(..10) == 0 {
        return "not sent";
    }
    reservation.sent();
    let tokens = reservation.tokens();
    if !bedrocks.borrow_mut().get_mut(&model).unwrap().begin(tokens) {
        reservation
            .failed(&Error::new(Reason::BedrockThrottled, "the model of Bedrock has no room"), Phase::BeforeContent);
        return "throttled";
    }
    let end = |charged| bedrocks.borrow_mut().get_mut(&model).unwrap().end(tokens, charged);
    sleep(Duration::from_millis(random.u64(..20_000))).await;
    match random.u8(..4) {
        // Without a usage both sides keep what was reserved.
        0 => {
            end(tokens);
            "dropped"
        }
        1 => {
            end(0);
            reservation.failed(&Error::new(Reason::BedrockUnavailable, "scripted"), Phase::BeforeContent);
            "failed"
        }
        _ => {
            let output = random.u32(..=u32::try_from(tokens).unwrap());
            end(reservation.settle(used(0, output)));
            "settled"
        }
    }
}

async fn simulate(random: &mut fastrand::Rng, tally: &mut BTreeMap<&'static str, u64>) {
    let sizes = [random.u64(2_000..40_000), random.u64(2_000..40_000)];
    let quotas = ["a.b", "c.d"]
        .into_iter()
        .zip(sizes)
        .map(|(model, tokens)| ModelQuota { burst_percent: random.u32(1..=100), ..quota(model, tokens) });
    let quotas: Vec<_> = quotas.collect();
    let ledger = ledger(quotas.clone());
    let bedrocks =
        ["a.b", "c.d"].into_iter().zip(sizes).map(|(model, tokens)| (model.to_owned(), Bedrock::new(tokens)));
    let bedrocks: Bedrocks = Rc::new(RefCell::new(bedrocks.collect()));
    let mut calls = JoinSet::new();
    let local = LocalSet::new();
    for _ in 0..150 {
        calls.spawn_local_on(call(ledger.clone(), Rc::clone(&bedrocks), random.u64(..)), &local);
    }
    let ended = timeout(Duration::from_mins(5), async {
        while let Some(outcome) = calls.join_next().await {
            *tally.entry(outcome.unwrap()).or_default() += 1;
        }
    });
    let all = local.run_until(with(&ledger, ended));
    all.await.expect("no call waits beyond its limits");
    // Nothing is held any more, and with time everything is there again.
    let whole = |free: fn(&crate::proto::QuotaUsage) -> u64| {
        ledger.list(&client("one").id).iter().map(|listed| free(&listed.tokens_per_minute.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(whole(|usage| usage.reserved), [0, 0]);
    advance(Duration::from_hours(1)).await;
    let bursts: Vec<_> =
        quotas.iter().zip(sizes).map(|(quota, size)| (size * u64::from(quota.burst_percent)).div_ceil(100)).collect();
    assert_eq!(whole(|usage| usage.free), bursts);
    assert!(ledger.list(&client("one").id).iter().all(|listed| listed.waiting_calls == 0));
}

#[test]
fn whatever_callers_do_bedrock_throttles_none_and_nothing_is_lost() {
    let mut tally = BTreeMap::new();
    let seeds = simulation::run(100, async |mut random| simulate(&mut random, &mut tally).await);
    assert!(!tally.contains_key("throttled"), "{tally:?}");
    if seeds.end - seeds.start >= 100 {
        for outcome in ["left", "refused", "not sent", "dropped", "failed", "settled"] {
            assert!(tally.contains_key(outcome), "{outcome} was never reached: {tally:?}");
        }
    }
}
