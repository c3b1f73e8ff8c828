//! The caller's own deadline holds for the whole stream, also where the caller's library does not see to it.

use std::time::Duration;

use tonic::{Code, Request};

use crate::harness::{Harness, collect, request, soon};

#[tokio::test]
async fn after_content_the_deadline_ends_the_stream_and_closes_the_upstream() {
    let harness = Harness::start().await;
    let mut call = Request::new(request("emulator.endless"));
    // tonic's client keeps this only until the first chunk.
    call.set_timeout(Duration::from_millis(500));
    let chunks = soon(harness.client.generate(call)).await.unwrap();
    let (chunks, error) = soon(collect(chunks)).await.failed();
    assert!(!chunks.is_empty());
    assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, "CALLER_DEADLINE"));
    assert_eq!(error.metadata["phase"], "after_content");
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn a_deadline_that_is_far_off_changes_nothing() {
    let harness = Harness::start().await;
    let mut call = Request::new(request("emulator.tools"));
    call.set_timeout(Duration::from_hours(1));
    soon(collect(soon(harness.client.generate(call)).await.unwrap())).await.whole();
}
