//! A breaker opens after failures in a row, probes, and closes; what others have learned counts once.

use super::*;

/// Longer than the first ejection with its jitter, and shorter than the second.
const FIRST: Duration = Duration::from_secs(34);

fn opened() -> (CircuitBreakers, Target) {
    let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
    for _ in 0..FAILURES {
        assert!(breakers.allows(&target));
        breakers.begin(&target).failed();
    }
    assert!(!breakers.allows(&target));
    (breakers, target)
}

#[tokio::test(start_paused = true)]
async fn an_ejected_target_gets_one_probe_after_its_backoff() {
    let (breakers, target) = opened();
    tokio::time::advance(FIRST).await;
    assert!(breakers.allows(&target) && breakers.allows(&target), "the question takes no permit");
    let probe = breakers.begin(&target);
    assert!(!breakers.allows(&target), "one probe and no other");
    probe.succeeded();
    assert!(breakers.allows(&target));
}

#[tokio::test(start_paused = true)]
async fn the_state_of_each_target_is_measured() {
    let metrics = Metrics::default();
    let (breakers, target) = (CircuitBreakers::default().with_metrics(metrics.clone()), Target::here("a.b"));
    let has = |sample: &str| {
        let text = metrics.text().unwrap();
        assert!(text.contains(&format!("{sample}\n")), "{sample} in {text}");
    };
    let is = |state: &str| {
        for known in ["closed", "open", "half_open"] {
            let value = i32::from(known == state);
            has(&format!("outcrop_circuit_breaker_state{{target=\"a.b\",state=\"{known}\"}} {value}"));
        }
    };
    breakers.begin(&target).succeeded();
    is("closed");
    (0..FAILURES).for_each(|_| breakers.begin(&target).failed());
    is("open");
    has("outcrop_circuit_breaker_ejections_total{target=\"a.b\"} 1");
    tokio::time::advance(FIRST).await;
    let probe = breakers.begin(&target);
    is("half_open");
    drop(probe);
    is("open");
    has("outcrop_circuit_breaker_ejections_total{target=\"a.b\"} 1");
    breakers.begin(&target).succeeded();
    is("closed");
}

#[tokio::test(start_paused = true)]
async fn what_other_servers_have_ejected_is_skipped_and_then_probed() {
    let (one, target) = opened();
    let other = CircuitBreakers::default();
    let ejected = one.ejected();
    assert_eq!(ejected.len(), 1);
    for (target, remaining) in &ejected {
        other.learn(target, *remaining);
    }
    assert!(!other.allows(&target));
    tokio::time::advance(FIRST).await;
    assert_eq!(one.ejected(), []);
    let probe = other.begin(&target);
    other.learn(&target, FIRST);
    probe.succeeded();
    assert!(other.allows(&target), "its own probe decides");
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_ejects_for_longer() {
    let (breakers, target) = opened();
    tokio::time::advance(FIRST).await;
    breakers.begin(&target).failed();
    tokio::time::advance(FIRST).await;
    assert!(!breakers.allows(&target), "the second backoff is longer");
    tokio::time::advance(FIRST).await;
    assert!(breakers.allows(&target));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_returns_its_permit() {
    let (breakers, target) = opened();
    tokio::time::advance(FIRST).await;
    drop(breakers.begin(&target));
    assert!(breakers.allows(&target));
}

#[tokio::test(start_paused = true)]
async fn late_results_neither_extend_nor_end_an_ejection() {
    let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
    let late: Vec<_> = (0..10).map(|_| breakers.begin(&target)).collect();
    for _ in 0..FAILURES {
        breakers.begin(&target).failed();
    }
    for (number, ticket) in late.into_iter().enumerate() {
        tokio::time::advance(Duration::from_secs(2)).await;
        if number % 2 == 0 {
            ticket.succeeded();
        } else {
            ticket.failed();
        }
        assert!(!breakers.allows(&target));
    }
    tokio::time::advance(FIRST.saturating_sub(Duration::from_secs(20))).await;
    assert!(breakers.allows(&target));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_had_no_other_target_do_not_extend_an_ejection() {
    let (breakers, target) = opened();
    for _ in 0..20 {
        breakers.begin(&target).failed();
    }
    tokio::time::advance(FIRST).await;
    assert!(breakers.allows(&target));
    let probe = breakers.begin(&target);
    breakers.begin(&target).failed();
    probe.succeeded();
    assert!(breakers.allows(&target), "the probe decides");
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_not_consecutive_do_not_count() {
    let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
    for _ in 0..3 * FAILURES {
        breakers.begin(&target).failed();
        breakers.begin(&target).succeeded();
    }
    assert!(breakers.allows(&target));
}
