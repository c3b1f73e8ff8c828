//! One caller with a hundred times the load of another, and more than the quota: the other one begins about as soon as if it were alone.

use tokio::task::JoinSet;

use super::*;

/// Tokens a minute, and those of a call.
const QUOTA: u64 = 600_000;
const TOKENS: i32 = 400;

/// The time from the beginning of a call at Bedrock to its first content.
const FIRST_CONTENT: Duration = Duration::from_millis(500);

/// One call. Returns the time to its first content, or `None` if it was refused.
async fn call(ledger: &Ledger, caller: &str) -> Option<Duration> {
    let began = Instant::now();
    let granted = reserve(ledger, &[Target::here("a.b")], &demand(&client(caller), TOKENS)).await.ok()?;
    let mut reservation = granted.reservation?;
    reservation.sent();
    sleep(FIRST_CONTENT).await;
    let started = began.elapsed();
    sleep(Duration::from_secs(2)).await;
    reservation.settle(used(0, 300));
    Some(started)
}

/// A caller that begins a call at each interval, whether those before have ended or not.
async fn caller(ledger: Ledger, name: &'static str, interval: Duration, calls: usize) -> Vec<Duration> {
    let mut running = JoinSet::new();
    for _ in 0..calls {
        sleep(interval).await;
        let ledger = ledger.clone();
        running.spawn(async move { call(&ledger, name).await });
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// The median time to the first content of a caller with one call a second, after the other callers have used up the bucket.
async fn median_beside(heavy: bool) -> Duration {
    let quota = ModelQuota { tokens_per_minute: NonZeroU64::new(QUOTA), ..ModelQuota::of("a.b") };
    let ledger = ledger([quota]);
    let mut others = JoinSet::new();
    if heavy {
        // A hundred times the calls, which is three times the quota.
        others.spawn(caller(ledger.clone(), "heavy", Duration::from_millis(10), 12_000));
    }
    let light = async {
        sleep(Duration::from_secs(40)).await;
        caller(ledger.clone(), "light", Duration::from_secs(1), 60).await
    };
    let mut started = with(&ledger, light).await;
    assert_eq!(started.len(), 60, "none of its calls is refused");
    started.sort();
    started[started.len() / 2]
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_a_hundred_times_the_load_delays_the_median_start_of_another_by_at_most_a_tenth() {
    let (alone, beside) = (median_beside(false).await, median_beside(true).await);
    assert_eq!(alone, FIRST_CONTENT);
    assert!(beside <= alone.mul_f64(1.1), "{beside:?} beside the other, {alone:?} alone");
}
