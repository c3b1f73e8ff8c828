//! What is counted of calls is bounded and balanced, whatever callers name and whenever they leave.

use std::time::Duration;

use tokio::time::{advance, timeout};

use super::{
    call::CallRecord,
    observer::{ObservedCall, request::Asked},
    queue::in_queue,
};
use crate::{
    error::{Error, Reason},
    identity::{
        Identity,
        settings::{CallerSettings, PermissionSettings},
    },
    metrics::Metrics,
    outcome::{Answer, Outcome},
    proto::Attempt,
    request::generation_id::GenerationId,
};

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

/// The number of names that callers choose.
const NAMES: u32 = 10_000;

fn record(path: &str, metrics: &Metrics) -> std::sync::Arc<CallRecord> {
    CallRecord::begin(path, GenerationId::random(), metrics.clone(), ObservedCall::default())
}

fn series(metrics: &Metrics) -> usize {
    metrics.text().unwrap().lines().filter(|line| !line.starts_with('#')).count()
}

fn value(metrics: &Metrics, name: &str) -> String {
    let text = metrics.text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

/// A caller who may call two models, one of them by its exact name.
fn caller() -> Identity {
    let models = Some(vec!["mine".to_owned(), "a.*".to_owned()]);
    let permissions = PermissionSettings { models, ..PermissionSettings::default() };
    Identity::of_settings(&CallerSettings { permissions, ..CallerSettings::default() })
}

/// A call that names this model, and ends in the way of this number.
fn call(metrics: &Metrics, path: &str, model: &str, number: u32) {
    let record = record(path, metrics);
    record.identified(&caller());
    record.requested(model, false, Asked::TokenCount);
    record.stream_begun();
    record.attempt_begun(&Attempt { model_id: model.to_owned(), region: "us-east-1".into(), reason: String::new() });
    record.attempt_ended(None);
    record.answered();
    let error = Error::new(Reason::ModelError, model);
    match number % 4 {
        0 => record.end(Outcome::Finished, &Answer::default()),
        1 => record.end(Outcome::Failed(&error), &Answer::default()),
        2 => record.end(Outcome::Abandoned { mode: "cancel", result: model }, &Answer::default()),
        _ => record.end(Outcome::Refused(&error), &Answer::default()),
    }
}

#[tokio::test]
async fn names_that_callers_choose_make_no_series() {
    let metrics = Metrics::default();
    for number in 0..4 {
        call(&metrics, GENERATE, "a.first", number);
        call(&metrics, "/outcrop.v1.GenerationService/First", "a.first", number);
    }
    let before = series(&metrics);
    for number in 0..NAMES {
        let path = format!("/outcrop.v1.GenerationService/Method{number}");
        call(&metrics, GENERATE, &format!("a.model-{number}"), number);
        call(&metrics, &path, &format!("a.model-{number}"), number);
    }
    assert_eq!(series(&metrics), before);
    let other = "outcrop_first_content_seconds_count{model=\"other\"}";
    assert_eq!(value(&metrics, other), (2 * NAMES + 8).to_string());
}

#[tokio::test]
async fn a_model_that_the_permissions_of_the_caller_name_has_its_own_series() {
    let metrics = Metrics::default();
    call(&metrics, GENERATE, "mine", 0);
    assert_eq!(value(&metrics, "outcrop_streams_finished_total{tenant=\"\",model=\"mine\"}"), "1");
}

#[tokio::test]
async fn the_running_streams_of_a_model_are_those_that_have_not_ended() {
    let metrics = Metrics::default();
    let running = |model: &str| value(&metrics, &format!("outcrop_model_streams_running{{model=\"{model}\"}}"));
    let begin = || {
        let record = record(GENERATE, &metrics);
        record.requested("a.b", true, Asked::TokenCount);
        record.stream_begun();
        record
    };
    let (ended, dropped) = (begin(), begin());
    assert_eq!(running("a.b"), "2");
    ended.end(Outcome::Finished, &Answer::default());
    ended.end(Outcome::Finished, &Answer::default());
    assert_eq!(running("a.b"), "1");
    drop((ended, dropped));
    assert_eq!(running("a.b"), "0");
}

#[tokio::test(start_paused = true)]
async fn only_calls_that_wait_are_counted_in_the_queue() {
    let metrics = Metrics::default();
    let record = record(GENERATE, &metrics);
    in_queue(&record, async { Ok::<_, ()>(()) }).await.unwrap();
    assert!(!metrics.text().unwrap().contains("outcrop_queue_wait_seconds_count"), "admitted at once");
    let wait = |result: Result<(), ()>| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        result
    };
    in_queue(&record, wait(Ok(()))).await.unwrap();
    in_queue(&record, wait(Err(()))).await.unwrap_err();
    timeout(Duration::from_secs(1), in_queue(&record, wait(Ok(())))).await.unwrap_err();
    for (outcome, seconds) in [("admitted", "3.0"), ("refused", "3.0"), ("left", "1.0")] {
        let sum = format!("outcrop_queue_wait_seconds_sum{{outcome=\"{outcome}\"}}");
        assert_eq!(value(&metrics, &sum), seconds, "{outcome}");
    }
    assert_eq!(value(&metrics, "outcrop_queue_calls"), "0");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_no_part_of_the_overhead_and_backoff_is_no_part_of_an_attempt() {
    let metrics = Metrics::default();
    let record = record(GENERATE, &metrics);
    record.requested("a.b", true, Asked::TokenCount);
    advance(Duration::from_secs(1)).await;
    record.dequeued("admitted", Duration::from_millis(750));
    record.stream_begun();
    let attempt = Attempt { model_id: "a.b".into(), region: "us-east-1".into(), reason: String::new() };
    record.attempt_begun(&attempt);
    advance(Duration::from_secs(2)).await;
    record.attempt_ended(Some(Reason::ModelError));
    advance(Duration::from_secs(4)).await;
    record.attempt_begun(&attempt);
    advance(Duration::from_secs(8)).await;
    record.attempt_ended(None);
    record.answered();
    assert_eq!(value(&metrics, "outcrop_overhead_seconds_sum"), "0.25");
    let of_attempt = "outcrop_attempt_first_content_seconds_sum{model=\"a.b\",region=\"us-east-1\"}";
    assert_eq!(value(&metrics, of_attempt), "8.0");
    assert_eq!(value(&metrics, "outcrop_first_content_seconds_sum{model=\"a.b\"}"), "15.0");
}
