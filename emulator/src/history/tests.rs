//! What is kept of requests, and what becomes of their answers.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::timeout;

use super::{
    Outcome::{Abandoned, Completed, Faulted, Refused},
    *,
};
use crate::{
    script::{At, FaultKind, Script},
    served::{Served, all, prompt, read},
};

#[test]
fn the_newest_requests_are_kept_within_the_bounds() {
    let history = History::default();
    let add = |length: usize| {
        let mut request = CapturedRequest { raw_body: Bytes::from(vec![b'x'; length]), ..CapturedRequest::default() };
        history.add(&mut request);
        request.number
    };
    let numbers = || history.find(|_| true).iter().map(|one| one.request.number).collect::<Vec<_>>();
    for number in 1..=1_500 {
        assert_eq!(add(10), number);
    }
    assert_eq!(numbers(), (501..=1_500).collect::<Vec<_>>());
    add(MOST_BYTES - 100);
    assert_eq!(numbers(), (1_491..=1_501).collect::<Vec<_>>());
    add(MOST_BYTES * 2);
    assert_eq!(numbers(), [1_502]);
    add(1);
    assert_eq!(numbers(), [1_503]);
    // An answer to a request that is not kept changes nothing.
    history.answered(3, 200);
    history.ended(3, Outcome::Completed);
    assert_eq!(history.find(|one| one.status.is_some() || one.outcome != Outcome::Running), []);
    history.clear(None);
    assert_eq!((numbers(), history.last()), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn each_request_has_the_outcome_of_its_answer() {
    let served = Served::new();
    let register = |name: &str, script: Script| served.shared.catalogue.register(format!("emulator.{name}"), [script]);
    register("cut-late", Script::reply("a b").fault(FaultKind::Cut, At::Event(2)));
    register("broken", Script::of([crate::Step::exception("throttlingException", "m")]).pace(50, 0));
    for operation in ["converse-stream", "converse"] {
        for model in ["emulator.default", "emulator.cut-late", "emulator.refuse-throttle", "emulator.nonsense", "x"] {
            read(served.operate(operation, model, "", &prompt("hi", 9)).await, 1_000).await;
        }
        let slow = timeout(Duration::from_millis(900), async {
            read(served.operate(operation, "emulator.slow", "", &prompt("hi", 9)).await, 1_000).await
        });
        assert!(slow.await.is_err());
    }
    let early = timeout(Duration::from_millis(10), async {
        served.operate("converse", "emulator.broken", "", &prompt("hi", 9)).await;
    });
    assert!(early.await.is_err());
    let counted = json!({"input": {"converse": prompt("hi", 9)}});
    all(served.operate("count-tokens", "a.model", "", &counted).await).await;
    let all = served.shared.ledger.history.find(|_| true);
    let outcomes: Vec<_> = all.iter().map(|one| one.outcome).collect();
    let each = [Completed, Faulted, Refused, Refused, Refused, Abandoned];
    assert_eq!(outcomes, [&each[..], &each[..], &[Abandoned, Completed]].concat());
    let statuses: Vec<_> = all.iter().map(|one| one.status).collect();
    let stream = [Some(200), Some(200), Some(429), Some(404), Some(400), Some(200)];
    assert_eq!(statuses[..6], stream);
    assert_eq!(statuses[6..], [&stream[..5], &[None, None, Some(200)]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_wait_sees_a_request_and_its_end() {
    let served = Served::new();
    let ledger = &served.shared.ledger;
    let running = served.operate("converse-stream", "emulator.endless", "", &prompt("hi", 9)).await;
    assert_eq!(ledger.wait_for(1, |one| one.outcome == Outcome::Running).await.len(), 1);
    let gone = ledger.wait_for(1, |one| one.outcome == Outcome::Abandoned);
    let leave = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(running);
    };
    let (gone, ()) = tokio::join!(gone, leave);
    assert_eq!(gone[0].request.body, prompt("hi", 9));
    let late = timeout(Duration::from_secs(5), ledger.wait_for(2, |_| true));
    assert!(late.await.is_err());
    // The error of a whole answer has no body whose end is seen.
    let broken = Script::of([crate::Step::exception("throttlingException", "m")]).pace(9_000, 0);
    served.shared.catalogue.register("emulator.broken".into(), [broken]);
    let left = timeout(Duration::from_secs(1), async {
        served.operate("converse", "emulator.broken", "", &prompt("hi", 9)).await;
    });
    let seen = timeout(Duration::from_secs(2), ledger.wait_for(2, |one| one.outcome == Abandoned));
    let (left, seen) = tokio::join!(left, seen);
    assert!(left.is_err() && seen.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_have_ids_of_their_own() {
    let served = Served::new();
    let slow = Script::reply("a").pace(100, 0);
    served.shared.catalogue.register("emulator.slow-start".into(), [slow]);
    let asked = prompt("hi", 9);
    let ask = || served.operate("converse", "emulator.slow-start", "", &asked);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let ids = [one, two, three].map(|response| response.headers()["x-amzn-requestid"].to_str().unwrap().to_owned());
    let numbers: Vec<u64> = ids.iter().map(|id| id.rsplit('-').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_error_is_an_error() {
    let served = Served::new();
    let recorded =
        Script { steps: vec![crate::Step::Bytes(b"{}".to_vec())], ..Script::refuse(429, "ThrottlingException", "") };
    served.shared.catalogue.register("emulator.recorded".into(), [recorded]);
    all(served.operate("converse", "emulator.recorded", "", &prompt("hi", 9)).await).await;
    assert_eq!(served.shared.ledger.history.find(|one| one.outcome == Refused).len(), 1);
}
