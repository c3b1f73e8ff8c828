//! A simulation of many calls at targets that fail, with callers who leave at any await: while one target is healthy, no call fails.

use std::{cell::Cell, rc::Rc};

use tokio::task::LocalSet;

use super::*;
use crate::simulation::{self, until_left};

const CALLS: usize = 400;

/// The most attempts of a call: one at the failing target, one that repeats it, one at the healthy target.
const ATTEMPTS: u32 = 3;

/// What the first target of the route does now, in percent; the second is always healthy.
struct First {
    failing: Cell<u8>,
}

/// How one attempt ends. `limit` is how long its caller waits for the first content.
async fn attempt(first: &First, target: &Target, limit: Duration, random: &mut fastrand::Rng) -> Option<Reason> {
    let takes = Duration::from_millis(random.u64(1..50));
    sleep(takes.min(limit)).await;
    if takes > limit {
        return Some(Reason::FirstContentTimeout);
    }
    let fails = target.model_id == "a.b" && random.u8(..100) < first.failing.get();
    let reasons = [Reason::BedrockThrottled, Reason::UpstreamUnreachable, Reason::BedrockInternal, Reason::ModelError];
    fails.then(|| reasons[random.usize(..reasons.len())])
}

/// One call of a caller who may leave. `Err` says why it failed.
async fn call(policy: &AttemptPolicy, first: &First, limit: Duration, mut random: fastrand::Rng) -> Result<(), Error> {
    sleep(Duration::from_millis(random.u64(..3_000))).await;
    let (route, log, short) = (route(&["a.b", "c.d"]), AttemptLog::default(), limit < Duration::from_secs(1));
    let mut attempts = random.fork();
    let served = async {
        let mut plan = policy.plan(&route, &log, short, None).await.unwrap();
        while let Some(reason) = attempt(first, &plan.target().clone(), limit, &mut attempts).await {
            plan.failed(failure(reason)).await?;
        }
        plan.succeeded();
        Ok(())
    };
    let served = until_left(&mut random, !short, Duration::from_secs(1), served).await;
    let made = log.call().attempts;
    assert!((1..=ATTEMPTS as usize).contains(&made.len()), "{made:?}");
    let (_, before) = made.split_last().unwrap();
    assert!(
        before.iter().all(|attempt| !attempt.reason.is_empty()),
        "an attempt begins when the one before it has failed"
    );
    served.unwrap_or(Ok(()))
}

/// A minute of calls.
async fn calls(
    policy: &Rc<AttemptPolicy>,
    first: &Rc<First>,
    limit: Duration,
    random: &mut fastrand::Rng,
) -> Vec<Error> {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let (policy, first, random) = (Rc::clone(policy), Rc::clone(first), random.fork());
        running.spawn_local(async move { call(&policy, &first, limit, random).await });
    }
    running.join_all().await.into_iter().filter_map(Result::err).collect()
}

async fn first_asked(policy: &AttemptPolicy) -> String {
    policy.plan(&route(&["a.b", "c.d"]), &AttemptLog::default(), false, None).await.unwrap().target().to_string()
}

async fn simulate(mut random: fastrand::Rng) {
    const PATIENT: Duration = Duration::from_mins(2);
    let policy = Rc::new(policy(ATTEMPTS));
    let first = Rc::new(First { failing: Cell::new(0) });
    // Callers with timeouts of their own that are too short: their failures say nothing about a target.
    let failed = calls(&policy, &first, Duration::from_millis(random.u64(1..10)), &mut random).await;
    assert!(!failed.is_empty());
    assert_eq!(first_asked(&policy).await, "a.b", "a short timeout has opened a breaker");
    // While the second target is healthy, no caller sees that the first is not.
    first.failing.set([10, 30, 100][random.usize(..3)]);
    let failed = calls(&policy, &first, PATIENT, &mut random).await;
    assert!(failed.is_empty(), "{} calls failed although a target is healthy: {:?}", failed.len(), failed[0]);
    // When it is healthy again, the first target is asked first again.
    first.failing.set(0);
    tokio::time::advance(Duration::from_mins(6)).await;
    assert!(calls(&policy, &first, PATIENT, &mut random).await.is_empty());
    assert_eq!(first_asked(&policy).await, "a.b", "the breaker stays open");
}

#[test]
fn while_one_target_is_healthy_no_call_fails_whatever_the_other_does() {
    simulation::run(20, async |random| LocalSet::new().run_until(simulate(random)).await);
}
