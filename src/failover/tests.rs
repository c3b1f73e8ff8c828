//! Tests of the attempts of one call: which target, when, and when none.

mod simulation;

use tokio::time::{Instant, sleep};

use super::{attempts::MIN_BACKOFF, *};
use crate::error::Error;

fn route(targets: &[&str]) -> Vec<Target> {
    let target = |written: &&str| match written.split_once('@') {
        Some((model, region)) => Target { model_id: model.to_owned(), region: Some(region.to_owned()) },
        None => Target::here(*written),
    };
    targets.iter().map(target).collect()
}

/// A policy without quotas.
fn policy(max_attempts: u32) -> AttemptPolicy {
    AttemptPolicy::new(
        max_attempts,
        "us-east-1",
        Ledger::new("us-east-1", &QuotaSettings::default()),
        CircuitBreakers::default(),
    )
}

fn failure(reason: Reason) -> Error {
    Error::new(reason, "scripted")
}

/// Which targets are asked, in order, if each attempt fails for one of these reasons; the last one stays.
async fn asked(attempts: &AttemptPolicy, targets: &[&str], reasons: &[Reason]) -> Vec<String> {
    let (route, log) = (route(targets), AttemptLog::default());
    let mut plan = attempts.plan(&route, &log, false, None).await.unwrap();
    let mut asked = vec![plan.target().to_string()];
    for at in 0.. {
        if plan.failed(failure(reasons[at.min(reasons.len() - 1)])).await.is_err() {
            break;
        }
        asked.push(plan.target().to_string());
    }
    assert_eq!(log.call().attempts.len(), asked.len());
    assert!(log.call().attempts.iter().all(|attempt| !attempt.reason.is_empty()));
    asked
}

#[tokio::test(start_paused = true)]
async fn a_throttle_goes_to_the_next_target_at_once() {
    let (attempts, began) = (policy(2), Instant::now());
    let asked = asked(&attempts, &["a.b", "a.b@us-west-2"], &[Reason::BedrockThrottled]).await;
    assert_eq!(asked, ["a.b", "a.b@us-west-2"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_tried_once_more_where_it_was() {
    let attempts = policy(4);
    let asked = asked(&attempts, &["a.b", "c.d"], &[Reason::UpstreamUnreachable]).await;
    assert_eq!(asked, ["a.b", "a.b", "c.d", "c.d"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_target_it_begins_again_with_the_first_after_a_wait() {
    let (attempts, began) = (policy(5), Instant::now());
    let asked = asked(&attempts, &["a.b", "c.d"], &[Reason::BedrockThrottled]).await;
    assert_eq!(asked, ["a.b", "c.d", "a.b", "c.d", "a.b"]);
    let waited = began.elapsed();
    assert!(waited >= MIN_BACKOFF * 3 && waited <= MIN_BACKOFF * 6, "two waits, the second twice as long: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn errors_that_only_the_caller_or_the_operator_can_fix_are_not_retried() {
    let attempts = policy(5);
    for reason in [Reason::BedrockValidation, Reason::UpstreamCredentials, Reason::BedrockModelNotFound] {
        assert_eq!(asked(&attempts, &["a.b", "c.d"], &[reason]).await, ["a.b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_bedrock_asks_for_is_kept_unless_it_is_too_long() {
    let (attempts, log, route) = (policy(5), AttemptLog::default(), route(&["a.b"]));
    let began = Instant::now();
    let mut plan = attempts.plan(&route, &log, false, None).await.unwrap();
    let asks = |seconds| failure(Reason::BedrockThrottled).with_retry_after(Some(Duration::from_secs(seconds)));
    plan.failed(asks(7)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    plan.failed(asks(60)).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(7), "told at once");
}

#[tokio::test(start_paused = true)]
async fn an_ejected_target_is_passed_over_until_its_probe() {
    let attempts = policy(2);
    for _ in 0..5 {
        asked(&attempts, &["a.b", "c.d"], &[Reason::BedrockUnavailable, Reason::BedrockValidation]).await;
    }
    let (route, log) = (route(&["a.b", "c.d"]), AttemptLog::default());
    assert_eq!(attempts.plan(&route, &log, false, None).await.unwrap().target().to_string(), "c.d");
    tokio::time::advance(Duration::from_secs(34)).await;
    let probe = attempts.plan(&route, &log, false, None).await.unwrap();
    assert_eq!(probe.target().to_string(), "a.b");
    assert_eq!(
        attempts.plan(&route, &log, false, None).await.unwrap().target().to_string(),
        "c.d",
        "one call is the probe"
    );
    drop(probe);
    assert_eq!(
        attempts.plan(&route, &log, false, None).await.unwrap().target().to_string(),
        "a.b",
        "a cancelled probe returns its permit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_short_timeouts_do_not_affect_others() {
    let attempts = policy(3);
    let (both, one) = (route(&["a.b", "c.d"]), route(&["a.b"]));
    for route in [&both, &one] {
        for _ in 0..100 {
            let mut plan = attempts.plan(route, &AttemptLog::default(), true, None).await.unwrap();
            while plan.failed(failure(Reason::FirstContentTimeout)).await.is_ok() {}
        }
    }
    assert_eq!(
        attempts.plan(&both, &AttemptLog::default(), false, None).await.unwrap().target().to_string(),
        "a.b",
        "no breaker is open"
    );
    let retried = asked(&attempts, &["a.b"], &[Reason::ModelError]).await;
    assert_eq!(retried.len(), 3, "the retry budget is untouched");
}

#[tokio::test(start_paused = true)]
async fn while_one_target_is_healthy_no_call_fails() {
    // 30 % throttles at the first target, over many seeds; the second target is healthy.
    let seeds = std::env::var("OUTCROP_TEST_SEEDS").map_or(50, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let (mut random, attempts) = (fastrand::Rng::with_seed(seed), policy(3));
        let targets = route(&["a.b", "a.b@us-west-2"]);
        for call in 0..200 {
            tokio::time::advance(Duration::from_millis(random.u64(..20))).await;
            let log = AttemptLog::default();
            let mut plan = attempts.plan(&targets, &log, false, None).await.unwrap();
            loop {
                let throttled = plan.target().region.is_none() && random.u8(..10) < 3;
                if !throttled {
                    plan.succeeded();
                    break;
                }
                let failed = plan.failed(failure(Reason::BedrockThrottled)).await;
                assert!(failed.is_ok(), "seed {seed}, call {call}: {failed:?}");
            }
            assert!(log.call().attempts.len() <= 3, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_goes_to_a_healthy_target_when_the_budget_is_exhausted_or_the_wait_too_long() {
    let (attempts, targets) = (policy(3), route(&["a.b", "a.b@us-west-2"]));
    // Calls that begin at once: the first target refuses connections, the second is healthy.
    let mut running = Vec::new();
    for _ in 0..1_000 {
        let log = AttemptLog::default();
        let mut plan = attempts.plan(&targets, &log, false, None).await.unwrap();
        running.push(async move {
            while plan.target().region.is_none() {
                plan.failed(failure(Reason::UpstreamUnreachable)).await?;
            }
            plan.succeeded();
            Ok::<_, Error>(())
        });
    }
    for (call, ended) in running.into_iter().enumerate() {
        let ended = ended.await;
        assert!(ended.is_ok(), "call {call}: {ended:?}");
    }
    let attempts = policy(3);
    let mut plan = attempts.plan(&targets, &AttemptLog::default(), false, None).await.unwrap();
    let asks = failure(Reason::BedrockInternal).with_retry_after(Some(Duration::from_mins(1)));
    plan.failed(asks).await.unwrap();
    assert_eq!(plan.target().to_string(), "a.b@us-west-2");
}

#[tokio::test(start_paused = true)]
async fn a_single_target_is_never_passed_over() {
    let attempts = policy(3);
    for _ in 0..20 {
        assert_eq!(asked(&attempts, &["a.b"], &[Reason::BedrockUnavailable]).await.len(), 3);
        tokio::time::advance(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_attempt_fails_the_retry_budget_runs_out() {
    let (metrics, calls) = (Metrics::default(), 1_000);
    let attempts = Arc::new(policy(3).with_metrics(metrics.clone()));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let attempts = Arc::clone(&attempts);
        running.spawn(async move {
            let (route, log) = (route(&["a.b"]), AttemptLog::default());
            let mut plan = attempts.plan(&route, &log, false, None).await.unwrap();
            let error = loop {
                if let Err(error) = plan.failed(failure(Reason::ModelError)).await {
                    break error;
                }
            };
            (log.call().attempts.len(), format!("{error:?}").contains("exhausted"))
        });
    }
    let (mut made, mut exhausted) = (0, 0);
    while let Some(outcome) = running.join_next().await {
        let (attempts, out_of_budget) = outcome.unwrap();
        made += attempts;
        exhausted += usize::from(out_of_budget);
    }
    assert!(exhausted > calls / 2, "{exhausted} calls were told");
    assert!(made < calls * 3 / 2, "{made} attempts for {calls} calls, and not three for each");
    let text = metrics.text().unwrap();
    assert!(text.contains(&format!("outcrop_retry_budget_exhausted_total {exhausted}\n")), "{exhausted} in {text}");
    let repeated = format!("outcrop_retries_total{{kind=\"repeat\"}} {}\n", made - calls);
    assert!(text.contains(&repeated), "{repeated} in {text}");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_begun_for_a_caller_who_has_left() {
    let (attempts, log, route) = (policy(3), AttemptLog::default(), route(&["a.b", "c.d"]));
    let mut plan = attempts.plan(&route, &log, false, None).await.unwrap();
    log.stop();
    plan.failed(failure(Reason::BedrockThrottled)).await.unwrap_err();
    assert_eq!(log.call().attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_begun_for_a_caller_who_leaves_during_the_backoff() {
    let (attempts, log, route) = (policy(3), AttemptLog::default(), route(&["a.b"]));
    let mut plan = attempts.plan(&route, &log, false, None).await.unwrap();
    let (failed, ()) = tokio::join!(plan.failed(failure(Reason::BedrockThrottled)), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        log.stop();
    });
    failed.unwrap_err();
    assert_eq!(log.call().attempts.len(), 1);
}
