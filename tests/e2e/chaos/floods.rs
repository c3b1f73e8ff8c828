//! Floods of calls: each method again and again by many callers at one address.

use std::{
    convert::Infallible,
    ops::Range,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop_client::{
    ClientError,
    proto::{CountTokensRequest, GenerateRequest},
};
use prost::Message;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Status;
use tonic_types::StatusExt;

use super::{Scene, source};
use crate::{
    harness::{collect, request},
    request_memory::Withheld,
    ungated::Unfinished,
};

/// Longer than any answer takes. A message of 32 MiB may take two minutes.
const HANGS: Duration = Duration::from_mins(5);

/// The addresses of the flood of creates. Each of them may create 1,200 conversations at once.
const CREATING: Range<u8> = 40..43;

type Connection<B> = Http<HttpConnector, B>;

/// All calls of one of these go over one connection.
fn connection<B>(last: u8) -> Connection<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(source(last)));
    connector.set_nodelay(true);
    Http::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

fn message(encoded: &[u8]) -> Full<Bytes> {
    let mut body = vec![0];
    body.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    body.extend(encoded);
    Full::new(body.into())
}

/// The reason of a call, with the name of the limit if it was one.
async fn answer<B>(http: &Connection<B>, endpoint: &str, path: &str, body: B) -> String
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let asked = http::Request::post(format!("{endpoint}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let called = async {
        let answer = http.request(asked).await.ok()?;
        let headers = answer.headers().clone();
        match Status::from_header_map(&headers) {
            Some(status) => Some(status),
            None => Status::from_header_map(answer.into_body().collect().await.ok()?.trailers()?),
        }
    };
    match timeout(HANGS, called).await.unwrap_or_else(|_| panic!("{path} hangs")) {
        None => "broken".to_owned(),
        Some(status) => said(&status),
    }
}

fn said(status: &Status) -> String {
    let details = status.get_error_details();
    match details.error_info() {
        None => format!("{:?}", status.code()).to_uppercase(),
        Some(info) if info.reason == "LOCAL_LIMIT" => {
            let limits = [
                ("--max-conversations", "conversations"),
                ("--max-request-memory", "memory"),
                ("-requests-per-minute", "requests"),
            ];
            let text = format!("{} {:?}", status.message(), details.quota_failure());
            let limit = limits.into_iter().find(|(word, _)| text.contains(word));
            format!("LOCAL_LIMIT: {}", limit.map_or(status.message(), |(_, name)| name))
        }
        Some(info) => info.reason.clone(),
    }
}

/// Starts all floods.
pub(super) fn start(scene: &Scene, load: &mut JoinSet<()>) {
    let count = CountTokensRequest {
        prompt: "hi".to_owned(),
        model: "emulator.ordinary".to_owned(),
        ..CountTokensRequest::default()
    };
    let service = |method: &str| format!("/outcrop.v1.GenerationService/{method}");
    for (at, name, path, sent) in [
        (20, "CountTokens", service("CountTokens"), count.encode_to_vec()),
        (21, "ListModels", service("ListModels"), Vec::new()),
        (22, "ListConversations", service("ListConversations"), Vec::new()),
        (23, "Health/Check", "/grpc.health.v1.Health/Check".to_owned(), Vec::new()),
        // The list of services.
        (24, "reflection", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(), vec![0x3a, 0]),
    ] {
        let http = connection(at);
        for _ in 0..scene.scale.callers {
            let (scene, http, path, sent) = (scene.clone(), http.clone(), path.clone(), sent.clone());
            load.spawn(async move {
                while !scene.over() {
                    scene.tally.add(name, &answer(&http, &scene.endpoint, &path, message(&sent)).await);
                }
            });
        }
    }
    creates(scene, load);
    generates(scene, load);
    load.spawn(withheld(scene.clone()));
    load.spawn(half_a_body(scene.clone()));
    load.spawn(unread(scene.clone()));
}

/// The creates go on until all of them were answered.
fn creates(scene: &Scene, load: &mut JoinSet<()>) {
    let left = Arc::new(AtomicU64::new(scene.scale.creates));
    for last in CREATING {
        let http = connection(last);
        for _ in 0..scene.scale.callers.div_ceil(4) {
            let (scene, http, left) = (scene.clone(), http.clone(), Arc::clone(&left));
            load.spawn(async move {
                let path = "/outcrop.v1.GenerationService/CreateConversation";
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    scene.tally.add("CreateConversation", &answer(&http, &scene.endpoint, path, message(&[])).await);
                }
            });
        }
    }
}

/// Callers who read their answers, and callers who leave.
fn generates(scene: &Scene, load: &mut JoinSet<()>) {
    for at in 0..scene.scale.callers {
        let scene = scene.clone();
        load.spawn(async move {
            let client = scene.client(30 + u8::try_from(at % 2).unwrap()).await;
            while !scene.over() {
                let called = async {
                    match client.generate(request("emulator.ordinary")).await {
                        Ok(chunks) => collect(chunks).await.result,
                        Err(error) => Err(error),
                    }
                };
                let limit = if fastrand::bool() { Duration::from_millis(fastrand::u64(..20)) } else { HANGS };
                let said = match timeout(limit, Box::pin(called)).await {
                    Ok(Ok(())) => "OK".to_owned(),
                    Ok(Err(ClientError::Call(error))) => error.reason,
                    Ok(Err(other)) => panic!("{other}"),
                    Err(elapsed) => {
                        assert!(limit < HANGS, "Generate hangs: {elapsed}");
                        "left".to_owned()
                    }
                };
                scene.tally.add("Generate", &said);
            }
        });
    }
}

/// Requests on one connection that each withhold their last byte.
async fn withheld(scene: Scene) {
    let http = connection(25);
    while !scene.over() {
        let mut asked = JoinSet::new();
        for _ in 0..scene.scale.withheld {
            let (scene, http) = (scene.clone(), http.clone());
            asked.spawn(async move {
                let body = Withheld::of(scene.scale.withheld_bytes - 100);
                let path = "/outcrop.v1.GenerationService/Generate";
                scene.tally.add("withheld", &answer(&http, &scene.endpoint, path, body).await);
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    }
}

/// Health checks without the end of their message.
async fn half_a_body(scene: Scene) {
    let http = connection(32);
    while !scene.over() {
        let mut asked = JoinSet::new();
        for _ in 0..scene.scale.callers {
            let (scene, http) = (scene.clone(), http.clone());
            asked.spawn(async move {
                let half = Unfinished::of(b"\0\0\0\0\x09\x0a\x07");
                let said = answer(&http, &scene.endpoint, "/grpc.health.v1.Health/Check", half).await;
                scene.tally.add("half a Health/Check", &said);
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    }
}

/// Callers that do not read. Their connection is closed at the end.
async fn unread(scene: Scene) {
    let client = scene.client(26).await;
    let mut unread = Vec::new();
    for _ in 0..scene.scale.unread {
        let asked = GenerateRequest { prompt: "hi".to_owned(), ..request("emulator.flood") };
        match client.generate(asked).await {
            Ok(chunks) => unread.push(chunks),
            Err(ClientError::Call(error)) => scene.tally.add("unread", &error.reason),
            Err(other) => panic!("{other}"),
        }
    }
    while !scene.over() {
        sleep(Duration::from_millis(100)).await;
    }
    for _ in unread {
        scene.tally.add("unread", "not read to the end");
    }
}
