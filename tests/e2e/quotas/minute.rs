//! 500 callers ask for three times the quota: Bedrock throttles next to none of the calls, and the quota is used. Beside it a server that knows
//! no quota and retries. A minute is scaled to 10 s: Bedrock's bucket refills at the rate of the quota and holds a sixth of it.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::task::JoinSet;

use super::*;
use crate::harness::duration_of;

const CALLERS: u64 = 500;

/// Tokens a minute.
const QUOTA: u64 = 600_000;

/// The scale of a minute.
const SCALE: u64 = 6;

/// What a call reserves, and what it uses: with a burndown of 5 more than it has reserved.
const MAX_TOKENS: i32 = 2_000;
const INPUT: u32 = 500;
const OUTPUT: u32 = 400;
const CHARGED: u64 = 500 + 5 * 400;

fn knows(model: &str) -> ModelQuota {
    ModelQuota {
        tokens_per_minute: NonZeroU64::new(QUOTA),
        output_burndown: 5,
        // A quarter of a scaled minute.
        burst_percent: 4,
        ..ModelQuota::of(model)
    }
}

/// The part of the calls that Bedrock has throttled, and the part of the quota of this time that was used.
struct Load {
    throttled: f64,
    used: f64,
    calls: u64,
    /// What was asked for, as a part of the quota.
    asked: f64,
}

/// Lets all callers ask for this long.
async fn load(harness: &Harness, model: &str, time: Duration) -> Load {
    let quota = Quota { tokens: Some(QUOTA / SCALE), minute_ms: 60_000 / SCALE, burndown: 5, ..Quota::default() };
    harness.emulator.set_quota(model, None, quota).unwrap();
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Three times the quota, from all callers together.
    let pause = Duration::from_secs_f64(60.0 * CALLERS as f64 * CHARGED as f64 / (3.0 * QUOTA as f64));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (client, model) = (harness.client.clone(), model.to_owned());
        let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
        callers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(number);
            sleep(pause.mul_f64(random.f64())).await;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                asked.fetch_add(CHARGED, Ordering::Relaxed);
                let prompt = "a".repeat(4 * INPUT as usize);
                let asked = GenerateRequest { prompt, ..asks(&model, MAX_TOKENS) };
                // A refusal is an answer too.
                if let Ok(chunks) = client.generate(asked).await {
                    let _ = crate::harness::collect(chunks).await;
                }
                sleep(pause.mul_f64(0.5 + random.f64()).saturating_sub(began.elapsed())).await;
            }
        });
    }
    sleep(time).await;
    let usage = harness.emulator.quota_usage(model, None).unwrap();
    over.store(true, Ordering::Relaxed);
    callers.shutdown().await;
    // The bucket of Bedrock was full when it began.
    Load {
        throttled: usage.throttled as f64 / (usage.requests + usage.throttled) as f64,
        used: usage.tokens_charged as f64 / (QUOTA as f64 * usage.elapsed.as_secs_f64() / 60.0),
        calls: usage.requests + usage.throttled,
        asked: asked.load(Ordering::Relaxed) as f64 / (QUOTA as f64 * usage.elapsed.as_secs_f64() / 60.0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_three_times_the_quota_bedrock_throttles_next_to_none_and_the_quota_is_used() {
    let time = duration_of("OUTCROP_TEST_QUOTA_TIME", Duration::from_secs(20));
    let runs = Duration::from_millis(500);
    let script = || uses(INPUT, OUTPUT, runs);
    let through = with_quotas([knows("emulator.known")], |settings| settings.attempts = 3).await;
    let retrying = with_quotas([], |settings| settings.attempts = 3).await;
    let known = through.emulator.register("known", script());
    let unknown = retrying.emulator.register("unknown", script());
    let (through, retrying) = tokio::join!(load(&through, &known, time), load(&retrying, &unknown, time));
    let figures = format!(
        "with the ledger {:.2} % of {} calls throttled and {:.0} % of the quota used; retrying {:.0} % of {} and {:.0} %",
        100.0 * through.throttled,
        through.calls,
        100.0 * through.used,
        100.0 * retrying.throttled,
        retrying.calls,
        100.0 * retrying.used,
    );
    println!("{figures}");
    assert!(through.throttled <= 0.01, "{figures}");
    // On a machine that is too busy the callers cannot ask for more than the quota.
    if through.asked >= 2.0 && retrying.asked >= 2.0 {
        assert!(through.used >= 0.95, "{figures}");
        assert!(retrying.throttled > 10.0 * through.throttled.max(0.005), "{figures}");
    }
}
