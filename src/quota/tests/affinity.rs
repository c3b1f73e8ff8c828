//! Conversations whose turns can be answered in two regions, of which the first has too little quota for all: the part of the turns that is
//! answered where the turn before was, and has its prompt cache there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::task::JoinSet;

use super::*;

const CONVERSATIONS: u64 = 60;
const TURNS: u64 = 20;

/// Tokens a minute of each region, and those of a turn. All conversations together ask for one and a half times the quota of a region.
const QUOTA: u64 = 60_000;
const TOKENS: i32 = 500;
const BETWEEN_TURNS: Duration = Duration::from_secs(20);

/// The part of the turns that stays in its region, and the mean wait of a turn.
async fn stays(affinity: Duration) -> (f64, Duration) {
    let regions = ["us-east-1", "us-west-2"];
    let quotas = regions.map(|region| ModelQuota { region: Some(region.to_owned()), ..burst(quota("a.b", QUOTA)) });
    let settings = QuotaSettings { cache_affinity: affinity, ..settings(quotas) };
    let ledger = Ledger::new("us-east-1", &settings);
    let targets = regions.map(|region| Target { model_id: "a.b".to_owned(), region: Some(region.to_owned()) });
    let (stayed, waited) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut conversations = JoinSet::new();
    for number in 0..CONVERSATIONS {
        let (ledger, targets) = (ledger.clone(), targets.clone());
        let (stayed, waited) = (Arc::clone(&stayed), Arc::clone(&waited));
        conversations.spawn(async move {
            let mut random = fastrand::Rng::with_seed(number);
            let mut last: Option<Target> = None;
            for _ in 0..=TURNS {
                sleep(BETWEEN_TURNS.mul_f64(0.5 + random.f64())).await;
                let began = Instant::now();
                let asks = Demand { preferred: last.clone(), ..demand(&client(&number.to_string()), TOKENS) };
                let granted = reserve(&ledger, &targets, &asks).await.unwrap();
                waited.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
                let target = targets[granted.at].clone();
                stayed.fetch_add(u64::from(last.as_ref() == Some(&target)), Ordering::Relaxed);
                last = Some(target);
                let mut reservation = granted.reservation.unwrap();
                reservation.sent();
                sleep(Duration::from_secs(3)).await;
                reservation.settle(used(0, 450));
            }
        });
    }
    with(&ledger, conversations.join_all()).await;
    let turns = CONVERSATIONS * TURNS;
    let wait = Duration::from_micros(waited.load(Ordering::Relaxed) / (turns + CONVERSATIONS));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    (stayed.load(Ordering::Relaxed) as f64 / turns as f64, wait)
}

fn burst(quota: ModelQuota) -> ModelQuota {
    ModelQuota { burst_percent: 10, ..quota }
}

#[tokio::test(start_paused = true)]
async fn turns_stay_in_their_region_and_without_the_preference_they_do_not() {
    let (with_affinity, waits) = stays(Duration::from_secs(2)).await;
    let (without, waits_without) = stays(Duration::ZERO).await;
    assert!(
        with_affinity >= 0.95 && waits <= Duration::from_millis(200),
        "{with_affinity}, and a turn waits {waits:?}"
    );
    assert!(without <= 0.85, "{without}, and a turn waits {waits_without:?}");
}
