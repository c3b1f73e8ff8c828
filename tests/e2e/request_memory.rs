//! Whatever callers send, and however slowly: requests take no more memory than they may, others are served, and everything is given
//! back.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bedrock_emulator::Script;
use bytes::{BufMut, Bytes};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop_client::proto::{
    ContentBlock, DocumentBlock, DocumentSource, GenerateRequest, Message, Role, content_block::Block, document_source,
};
use prost::Message as _;
use tokio::{task::JoinSet, time::sleep};
use tonic::Status;
use tonic_types::StatusExt;

use crate::{
    harness::{Harness, collect, request, soon, text_of},
    process::Remote,
};

const MIB: usize = 1 << 20;

/// A body that never ends: so many zero bytes after a prefix that promises one more.
pub(crate) struct Withheld {
    prefix: Option<Bytes>,
    left: usize,
}

impl Withheld {
    pub(crate) fn of(length: usize) -> Self {
        Self { prefix: Some(prefix(length).into()), left: length - 1 }
    }
}

impl Body for Withheld {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        if let Some(prefix) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(prefix))));
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        let part = self.left.min(ZEROS.len());
        self.left -= part;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS[..part])))))
    }
}

fn prefix(length: usize) -> Vec<u8> {
    let mut prefix = vec![0];
    prefix.put_u32(u32::try_from(length).unwrap());
    prefix
}

/// All calls of one client go over one connection.
pub(crate) fn http<B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static>() -> Http<HttpConnector, B> {
    Http::builder(TokioExecutor::new()).http2_only(true).build_http()
}

pub(crate) fn call<B>(endpoint: &str, body: B) -> http::Request<B> {
    http::Request::post(format!("{endpoint}/outcrop.v1.GenerationService/Generate"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

/// The status of a call that is refused.
pub(crate) async fn status<B>(http: Http<HttpConnector, B>, request: http::Request<B>) -> Status
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let answer = http.request(request).await.unwrap();
    let headers = answer.headers().clone();
    let trailers = match Status::from_header_map(&headers) {
        Some(_) => None,
        None => answer.into_body().collect().await.unwrap().trailers().cloned(),
    };
    Status::from_header_map(&headers).or_else(|| Status::from_header_map(&trailers?)).unwrap()
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

/// Sends requests that each withhold their last byte, all over one connection, until all but `waiting` are refused.
async fn withhold(endpoint: &str, number: usize, length: usize, waiting: usize) -> (JoinSet<Status>, Vec<Status>) {
    let (http, mut asked) = (http(), JoinSet::new());
    for _ in 0..number {
        asked.spawn(status(http.clone(), call(endpoint, Withheld::of(length))));
    }
    let mut refused = Vec::new();
    while asked.len() > waiting {
        refused.extend(soon(asked.join_next()).await.map(Result::unwrap));
    }
    (asked, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_withhold_their_last_byte_stay_within_the_budget() {
    let harness = Harness::with(|settings| {
        (settings.max_request_bytes, settings.max_request_memory) = (MIB, 8 * MIB);
    })
    .await;
    // A client leaves half of the memory free.
    let (waiting, refused) = withhold(&harness.endpoint, 32, MIB - 100, 4).await;
    for status in &refused {
        assert_eq!(reason(status), "LOCAL_LIMIT", "{status:?}");
        assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
        assert!(status.message().contains("--max-request-memory"), "{status:?}");
    }
    harness.counted("request_memory_bytes", &[], 4 * (MIB as u64 - 95)).await;
    for _ in 0..10 {
        harness.ask(request("a.model")).await.whole();
    }
    drop(waiting);
    harness.counted("request_memory_bytes", &[], 0).await;
}

/// A variable says that the requests and the budget have their real sizes: 32 MiB, 512 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_without_their_last_byte_cost_no_more_than_the_budget() {
    let (length, budget, waiting, flags) = match std::env::var_os("OUTCROP_TEST_FULL_SIZE") {
        Some(_) => (32 * MIB, 512 * MIB, 8, &[][..]),
        None => (
            4 * MIB,
            32 * MIB,
            4,
            &["--max-request-bytes", "4194304", "--max-request-memory", "33554432", "--body-timeout", "5m"][..],
        ),
    };
    let remote = Remote::start(flags).await;
    remote.emulator.register("ordinary", Script::reply("one two three"));
    let client = remote.clients(1).await.remove(0);
    let ask = async || {
        let chunks = soon(client.generate(request("emulator.ordinary"))).await.unwrap();
        assert_eq!(text_of(&soon(collect(chunks)).await.whole()), "one two three");
    };
    ask().await;
    let before = remote.memory();
    let (held, refused) = withhold(&remote.serving.endpoint, 1_000, length - 100, waiting).await;
    let all = (waiting * (length - 95)) as u64;
    assert_eq!(remote.count("request_memory_bytes", &[]), all);
    ask().await;
    // All but the last bytes arrive.
    while remote.memory() - before < all >> 10 {
        sleep(Duration::from_millis(50)).await;
    }
    ask().await;
    let (grown, peak) = (remote.memory().saturating_sub(before), remote.peak().saturating_sub(before));
    println!(
        "{} wait, {} refused, {all} bytes held; {grown} KiB more in the server, {peak} at its peak",
        held.len(),
        refused.len()
    );
    assert!(peak < 2 * (budget >> 10) as u64, "{peak} KiB for a budget of {budget} bytes");
    drop(held);
    soon(async {
        while remote.count("request_memory_bytes", &[]) > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    println!("{} KiB more when they have left", remote.memory().saturating_sub(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_take_small_requests_only() {
    let harness = Harness::start().await;
    for path in ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        let mut asked = call(&harness.endpoint, Withheld::of(3 * MIB));
        *asked.uri_mut() = format!("{}{path}", harness.endpoint).parse().unwrap();
        // It ends, although its last byte never comes.
        soon(status(http(), asked)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_ends_with_a_reason_of_its_own() {
    let harness = Harness::with(|settings| settings.body_timeout = Duration::from_millis(200)).await;
    let status = soon(status(http(), call(&harness.endpoint, Withheld::of(MIB)))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::DeadlineExceeded, "BODY_TIMEOUT"));
    assert!(status.message().contains("--body-timeout"), "{status:?}");
    harness.counted("request_memory_bytes", &[], 0).await;
    harness.counted("calls_refused_total", &["BODY_TIMEOUT"], 1).await;
}

/// A request with one message that has so many empty content blocks of two bytes each.
fn empty_blocks(number: usize) -> Vec<u8> {
    let blocks = [0x12, 0].repeat(number);
    let mut message = vec![0x1a];
    prost::encoding::encode_varint(blocks.len() as u64, &mut message);
    message.extend(blocks);
    [prefix(message.len()), message].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_content_blocks_are_counted_before_they_are_decoded() {
    let remote = Remote::start(&[]).await;
    let before = remote.memory();
    let blocks = empty_blocks(8_000_000);
    assert_eq!(GenerateRequest::decode(&empty_blocks(3)[5..]).unwrap().messages[0].content.len(), 3);
    let asked = call(&remote.serving.endpoint, Full::new(Bytes::from(blocks)));
    let status = soon(status(http(), asked)).await;
    assert_eq!(reason(&status), "INVALID_REQUEST");
    let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
    assert_eq!(violations[0].field, "messages.content");
    assert!(violations[0].description.contains("at most 100000"), "{violations:?}");
    let grown = remote.memory().saturating_sub(before);
    println!("{grown} KiB more after 16 MB of empty blocks");
    assert!(grown < 128 << 10, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_request_of_an_honest_caller_is_served_and_its_memory_is_given_back() {
    let harness = Harness::start().await;
    let document = DocumentBlock {
        format: "pdf".to_owned(),
        name: "report".to_owned(),
        source: Some(DocumentSource { source: Some(document_source::Source::Bytes(vec![b'x'; 16 * MIB].into())) }),
        ..DocumentBlock::default()
    };
    let text = ContentBlock { block: Some(Block::Text("read this".to_owned())) };
    let content = vec![text, ContentBlock { block: Some(Block::Document(document)) }];
    let many = Message { role: Role::User.into(), content };
    let request = GenerateRequest { messages: vec![many], model: "a.model".to_owned(), ..GenerateRequest::default() };
    for _ in 0..3 {
        harness.ask(request.clone()).await.whole();
    }
    harness.counted("request_memory_bytes", &[], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_holds_its_memory_until_its_first_content() {
    let harness = Harness::with(|settings| settings.attempts = 1).await;
    let stalled = bedrock_emulator::Step::WaitMs(600_000);
    let model = harness.emulator.register("stalled", Script::of([stalled]));
    let ask = GenerateRequest { prompt: "x".repeat(100_000), ..request(&model) };
    let client = harness.client.clone();
    let mut calls = JoinSet::new();
    calls.spawn(async move { client.generate(ask).await.map(|_| ()) });
    soon(harness.emulator.wait_until(|stats| stats.requests == 1)).await;
    let taken = harness.count("request_memory_bytes", &[]);
    assert!((200_000..250_000).contains(&taken), "encoded and decoded: {taken}");
    drop(calls);
    harness.counted("request_memory_bytes", &[], 0).await;
    // An answer that has begun holds nothing.
    let _running = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    harness.counted("request_memory_bytes", &[], 0).await;
}
