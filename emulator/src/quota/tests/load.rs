//! Many callers at a quota: what is admitted, refused and used.

use std::sync::Arc;

use fastrand::Rng;
use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep},
};

use super::usage;
use crate::{
    quota::{Quota, QuotaUsage},
    script::Script,
    served::{Served, all, prompt},
};

const MODEL: &str = "emulator.measured";

/// Tokens a minute.
const QUOTA: u64 = 300_000;

/// The callers, each of which asks again and again for two minutes.
const CALLERS: u64 = 40;

/// One caller: it retries after the pause that it is told, or a second.
async fn call(served: Arc<Served>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let until = Instant::now() + Duration::from_mins(2);
    while Instant::now() < until {
        let response = served.operate("converse-stream", MODEL, "us-east-1", &prompt("hi", 1_000)).await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds = response.headers().get("retry-after").map_or("1", |value| value.to_str().unwrap());
            sleep(Duration::from_secs_f64(seconds.parse::<f64>().unwrap() * (1.0 + random.f64()))).await;
        } else {
            all(response).await;
        }
    }
}

/// The counts after all callers have asked, and then left.
async fn loaded(quota: Quota) -> QuotaUsage {
    let served = Arc::new(Served::new());
    served.shared.quotas.set(MODEL, Some("us-east-1"), quota).unwrap();
    // 100 to 400 output tokens in about four seconds, drawn by the number of the request.
    served.shared.catalogue.register_maker(
        MODEL.to_owned(),
        Arc::new(|request| {
            let mut random = Rng::with_seed(request.number);
            Script::reply_with("one two three", usage(200, random.u64(100..400))).pace(1_000, random.u64(500..700))
        }),
    );
    let mut callers: JoinSet<()> = (0..CALLERS).map(|seed| call(Arc::clone(&served), seed)).collect();
    while callers.join_next().await.is_some() {}
    served.shared.quotas.usage(MODEL, Some("us-east-1")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn callers_that_retry_use_the_quota_and_never_more() {
    for retry_after in [false, true] {
        let counts = loaded(Quota { burndown: 5, retry_after, ..Quota::of_tokens(QUOTA) }).await;
        // A bucket that begins full gives a minute's quota, and refills.
        let minutes = 1.0 + counts.elapsed.as_secs_f64() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
        let used = counts.tokens_charged as f64 / (QUOTA as f64 * minutes);
        assert!((0.95..=1.0).contains(&used), "{used} of the quota is used: {counts:?}");
        assert!(counts.highest_admitted_level <= QUOTA, "{counts:?}");
        assert!(counts.throttled_by_tokens > 100 && counts.throttled == counts.throttled_by_tokens, "{counts:?}");
        assert_eq!((counts.running, counts.kept, counts.tokens_reserved), (0, 0, 0));
    }
}
