//! What Bedrock's side sends in place of a stream is read no further than it can be of use.

use bedrock_emulator::{Script, Step};
use outcrop_client::{ClientError, proto::CountTokensRequest};
use tonic::Code;

use crate::{
    harness::{Harness, request, soon},
    process::Remote,
};

/// A body of 400 MiB.
fn huge(mut script: Script) -> Script {
    script.steps = vec![Step::Repeat { times: 6_400, steps: vec![Step::Bytes(vec![b'x'; 64 << 10])] }];
    script
}

/// What may lie in the buffers between, in bytes: those of the sockets, and the window of HTTP/2.
const BUFFERS: u64 = 16 << 20;

#[tokio::test]
async fn a_huge_error_body_is_read_to_its_limit_over_http_1() {
    let harness = Harness::start().await;
    let (_, error) = harness.play("huge", huge(Script::refuse(500, "InternalServerException", ""))).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "BEDROCK_INTERNAL"), "{error}");
    assert!(error.message.len() < 1_100, "{}", error.message.len());
    soon(harness.emulator.wait_until(|stats| stats.running() == 0)).await;
    let sent = harness.emulator.stats().bytes_sent;
    assert!(sent < BUFFERS, "{sent} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_error_body_is_read_to_its_limit_over_http_2() {
    let remote = Remote::start(&["--attempts", "1"]).await;
    let client = remote.clients(1).await.remove(0);
    let model = remote.emulator.register("huge", huge(Script::refuse(500, "InternalServerException", "")));
    let before = remote.memory();
    let Err(ClientError::Call(error)) = soon(client.generate(request(&model))).await else { panic!("refused") };
    assert_eq!(error.reason, "BEDROCK_INTERNAL", "{error}");
    soon(remote.emulator.wait_until(|stats| stats.running() == 0)).await;
    let (sent, grown) = (remote.emulator.stats().bytes_sent, remote.peak().saturating_sub(before));
    println!("{sent} bytes of 400 MiB were sent; the server grew by {grown} KiB at its peak");
    assert!(sent < BUFFERS, "{sent} bytes were sent");
    assert!(grown < 64 << 10, "{grown} KiB");
}

#[tokio::test]
async fn a_huge_count_of_tokens_is_read_to_its_limit() {
    let harness = Harness::start().await;
    let model = harness.emulator.register("huge", huge(Script::default()));
    let request = CountTokensRequest { model, prompt: "hi".to_owned(), ..CountTokensRequest::default() };
    let Err(ClientError::Call(error)) = soon(harness.client.count_tokens(request)).await else { panic!("refused") };
    assert_eq!(error.reason, "UPSTREAM_CORRUPT", "{error}");
    soon(harness.emulator.wait_until(|stats| stats.running() == 0)).await;
    let sent = harness.emulator.stats().bytes_sent;
    assert!(sent < BUFFERS, "{sent} bytes were sent");
}
