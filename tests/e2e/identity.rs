//! Every method of every service, with every kind of credentials, over every protocol. The methods are those that the server says it has, so a
//! method that is added later is tested too.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use outcrop::{app::App, bedrock::Bedrock, config::Settings, identity::settings::IdentitySettings};
use outcrop_client::proto::{
    CreateConversationResponse, DeleteConversationRequest, GenerateRequest, GetConversationRequest,
};
use prost::Message;
use tonic::Code;

use crate::{
    callers::{Answer, Caller, Headers, PROTOCOLS, Protocol, Wire, bearer, new_key, open_stream, unary},
    harness::{Harness, request, soon},
};

/// A server with two tenants, a caller who may do nothing, and keys that are not valid.
struct Guarded {
    harness: Harness,
    wire: Wire,
    /// Each kind of credentials, as a header.
    none: Headers,
    ada: Headers,
    bob: Headers,
    powerless: Headers,
    wrong: Headers,
    expired: Headers,
    revoked: Headers,
}

impl Guarded {
    async fn start() -> Self {
        let (mut ada, bob, mut powerless) = (Caller::new("ada"), Caller::new("bob"), Caller::new("powerless"));
        let ((expired, mut expired_settings), (revoked, mut revoked_settings)) = (new_key(), new_key());
        expired_settings.expires_at = Some(SystemTime::now() - Duration::from_secs(1));
        revoked_settings.disabled = true;
        ada.settings.keys.extend([expired_settings, revoked_settings]);
        powerless.settings.permissions.methods = Some(std::collections::BTreeSet::new());
        let callers = vec![ada.settings, bob.settings, powerless.settings];
        let harness = Harness::with(|settings| {
            settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
            settings.open_reflection = Some(false);
        })
        .await;
        Self {
            wire: Wire::to(&harness.endpoint),
            none: Vec::new(),
            ada: bearer(&ada.key),
            bob: vec![("x-api-key", bob.key)],
            powerless: bearer(&powerless.key),
            wrong: bearer(&new_key().0),
            expired: bearer(&expired),
            revoked: bearer(&revoked),
            harness,
        }
    }

    async fn call(&self, protocol: Protocol, path: &str, message: &[u8], headers: &[(&'static str, String)]) -> Answer {
        let mut all: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if protocol == Protocol::Grpc || protocol == Protocol::GrpcOverHttp1 {
            all.push(("te", "trailers"));
        }
        self.wire.call(protocol, path, message, &all).await
    }

    /// Credentials that are refused, with code and reason.
    fn refused(&self) -> [(&Headers, Code, &'static str); 5] {
        [
            (&self.none, Code::Unauthenticated, "CREDENTIALS_MISSING"),
            (&self.wrong, Code::Unauthenticated, "CREDENTIALS_INVALID"),
            (&self.expired, Code::Unauthenticated, "CREDENTIALS_EXPIRED"),
            (&self.revoked, Code::Unauthenticated, "CREDENTIALS_REVOKED"),
            (&self.powerless, Code::PermissionDenied, "PERMISSION_DENIED"),
        ]
    }

    /// All methods that the server has.
    async fn methods(&self) -> Vec<String> {
        let Answer::Grpc { message, .. } = self.call(Protocol::Grpc, "/no.Service/Method", b"", &self.ada).await else {
            panic!("gRPC")
        };
        let methods: Vec<_> = message.split_once("There are: ").unwrap().1.split(", ").map(str::to_owned).collect();
        assert!(methods.len() >= 11, "{methods:?}");
        methods
    }

    /// A conversation of ada.
    async fn conversation(&self) -> String {
        let body = unary(&self.harness.endpoint, "CreateConversation", b"", &self.ada).await;
        CreateConversationResponse::decode(body.as_slice()).unwrap().conversation.unwrap().conversation_id
    }
}

/// A message that the method accepts.
fn message_of(path: &str, conversation_id: &str) -> Vec<u8> {
    let conversation_id = conversation_id.to_owned();
    match path.rsplit('/').next().unwrap() {
        "Generate" => GenerateRequest { conversation_id, ..request("emulator.default") }.encode_to_vec(),
        "GetConversation" => GetConversationRequest { conversation_id, ..Default::default() }.encode_to_vec(),
        "DeleteConversation" => DeleteConversationRequest { conversation_id }.encode_to_vec(),
        "CountTokens" => GenerateRequest { prompt: "hi".to_owned(), ..Default::default() }.encode_to_vec(),
        _ => Vec::new(),
    }
}

/// Whether a method has streams, and the protocol none.
fn has_none(protocol: Protocol, path: &str) -> bool {
    protocol.is_connect() && ["/Generate", "/Watch", "/ServerReflectionInfo"].iter().any(|name| path.ends_with(name))
}

/// Whether a method needs no credentials.
fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_every_caller_that_is_not_allowed_over_every_protocol_and_bedrock_is_not_called() {
    for (protocol, which) in PROTOCOLS.iter().flat_map(|protocol| (0..5).map(|which| (*protocol, which))) {
        // Each kind of credentials has a server of its own, because an address that fails too often is throttled.
        let server = Guarded::start().await;
        let conversation = server.conversation().await;
        let (headers, code, reason) = server.refused()[which];
        for path in server.methods().await {
            let answer = server.call(protocol, &path, &message_of(&path, &conversation), headers).await;
            let (code, reason) = if is_open(&path) { (Code::Ok, "") } else { (code, reason) };
            match protocol {
                Protocol::GrpcOverHttp1 => assert_eq!(answer, Answer::Http(http::StatusCode::UPGRADE_REQUIRED)),
                _ if has_none(protocol, &path) => {
                    assert_eq!(answer, Answer::Http(http::StatusCode::UNSUPPORTED_MEDIA_TYPE));
                }
                _ => assert_eq!((answer.code(), answer.reason()), (Some(code), reason), "{protocol:?} {path}"),
            }
        }
        assert_eq!(server.harness.emulator.stats().requests, 0, "{protocol:?}: Bedrock is not called");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_serves_a_caller_and_none_reaches_what_belongs_to_another_tenant() {
    for protocol in PROTOCOLS {
        if protocol == Protocol::GrpcOverHttp1 {
            continue;
        }
        let server = Guarded::start().await;
        let conversation = server.conversation().await;
        let methods: Vec<_> = server.methods().await.into_iter().filter(|path| !has_none(protocol, path)).collect();
        for path in &methods {
            let path = path.as_str();
            let (of_ada, before) = (message_of(path, &conversation), server.harness.emulator.stats().requests);
            let answer = server.call(protocol, path, &of_ada, &server.bob).await;
            if of_ada.windows(conversation.len()).any(|part| part == conversation.as_bytes()) {
                let unknown = message_of(path, &"0".repeat(conversation.len()));
                let missing = server.call(protocol, path, &unknown, &server.bob).await;
                assert_eq!(answer.reason(), "CONVERSATION_NOT_FOUND", "{protocol:?} {path}");
                assert_eq!((answer.code(), answer.reason()), (missing.code(), missing.reason()), "{path}");
                assert_eq!(server.harness.emulator.stats().requests, before, "{protocol:?} {path}");
            } else {
                assert!(!is_refusal(&answer), "{protocol:?} {path}: {answer:?}");
            }
        }
        // Deleted last: the methods are in the order of their names, and ada's own calls come after those of bob.
        for path in &methods {
            let answer = server.call(protocol, path, &message_of(path, &conversation), &server.ada).await;
            assert!(!is_refusal(&answer), "{protocol:?} {path}: {answer:?}");
            let gone = answer.reason() == "CONVERSATION_NOT_FOUND";
            assert!(!gone || !path.ends_with("/DeleteConversation"), "{protocol:?} {path}: it was ada's until now");
        }
    }
}

fn is_refusal(answer: &Answer) -> bool {
    !matches!(answer.code(), Some(code) if code != Code::Unauthenticated && code != Code::PermissionDenied)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_does_not_exist_tells_nothing_to_strangers() {
    let server = Guarded::start().await;
    for path in ["/no.Service/Method", "/grpc.health.v1.Health/Missing", "/"] {
        let stranger = server.call(Protocol::Grpc, path, b"", &server.none).await;
        assert_eq!(stranger.reason(), "CREDENTIALS_MISSING", "{path}");
    }
    let ada = server.call(Protocol::Grpc, "/no.Service/Method", b"", &server.ada).await;
    assert_eq!(ada.reason(), "UNKNOWN_METHOD");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_many_keys_is_throttled_and_a_valid_key_from_there_is_not() {
    let server = Guarded::start().await;
    let path = "/outcrop.v1.GenerationService/ListModels";
    let mut reasons = Vec::new();
    for _ in 0..50 {
        reasons.push(server.call(Protocol::Grpc, path, b"", &bearer(&new_key().0)).await.reason().to_owned());
    }
    assert_eq!(reasons.first().map(String::as_str), Some("CREDENTIALS_INVALID"));
    assert_eq!(reasons.last().map(String::as_str), Some("AUTHENTICATION_THROTTLED"));
    for _ in 0..50 {
        assert_eq!(server.call(Protocol::Grpc, path, b"", &server.ada).await.code(), Some(Code::Ok));
    }
    assert!(server.harness.count("calls_refused_total", &["reason=\"AUTHENTICATION_THROTTLED\""]) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_decided_before_a_byte_of_the_body_is_read() {
    let server = Guarded::start().await;
    let never = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let call = http::Request::post(format!("{}/outcrop.v1.GenerationService/Generate", server.harness.endpoint))
        .header("content-type", "application/grpc")
        .body(never)
        .unwrap();
    let http = Http::builder(TokioExecutor::new()).http2_only(true).build_http();
    let answer = soon(http.request(call)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "16");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_the_streams_of_revoked_keys_and_no_others() {
    let (ada, bob) = (Caller::new("ada"), Caller::new("bob"));
    let (expiring, expiring_settings) = new_key();
    let settings_of = |expires_at, keep_ada: bool| {
        let mut bob = bob.settings.clone();
        bob.keys.push(outcrop::identity::settings::KeySettings { expires_at, ..expiring_settings.clone() });
        let mut ada = ada.settings.clone();
        ada.keys[0].disabled = !keep_ada;
        IdentitySettings { callers: vec![ada, bob], ..IdentitySettings::default() }
    };
    let emulator = bedrock_emulator::Emulator::start(bedrock_emulator::Config::default()).await.unwrap();
    let settings = Settings { identity: settings_of(None, true), ..Settings::local() };
    let app =
        App::build(&settings, Bedrock::emulated(&emulator.endpoint(), settings.max_connect()).unwrap()).await.unwrap();
    let (endpoint, reload) = (format!("http://{}", app.address()), app.reload());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(app.run(std::future::pending(), std::future::pending()));
    let mut streams = Vec::new();
    for key in [&ada.key, &bob.key, &expiring] {
        streams.push(open_stream(&endpoint, key, &request("emulator.endless")).await);
    }
    reload.replace_callers(&settings_of(Some(SystemTime::now()), false)).unwrap();
    let ended = streams.remove(0).status().await;
    assert_eq!((ended.code(), ended.reason()), (Some(Code::Unauthenticated), "CREDENTIALS_REVOKED"));
    for stream in &mut streams {
        stream.more().await;
    }
    let wire = Wire::to(&endpoint);
    let path = "/outcrop.v1.GenerationService/ListModels";
    for (key, reason) in [(&ada.key, "CREDENTIALS_REVOKED"), (&expiring, "CREDENTIALS_EXPIRED"), (&bob.key, "")] {
        let header = format!("Bearer {key}");
        let answer = wire.call(Protocol::Grpc, path, b"", &[("authorization", header.as_str())]).await;
        assert_eq!(answer.reason(), reason);
    }
}
