//! Callers that are known by tokens: what is accepted over every protocol, and what becomes of running streams.

pub(crate) mod issuer;

use std::{collections::BTreeMap, time::Duration};

use bedrock_emulator::{Config, Emulator};
use outcrop::{
    app::{App, Reload},
    bedrock::Bedrock,
    config::Settings,
    identity::settings::{CallerSettings, IdentitySettings, TokenSettings},
    shutdown::Ended,
};
use outcrop_client::proto::{CreateConversationResponse, GenerateRequest};
use prost::Message;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;

use self::issuer::{Issuer, now};
use crate::{
    callers::{Answer, Caller, PROTOCOLS, Protocol, Wire, bearer, open_stream, unary},
    harness::request,
};

const LIST_MODELS: &str = "/outcrop.v1.GenerationService/ListModels";
const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

/// A server, an issuer, and a caller with a key.
struct Server {
    issuer: Issuer,
    bob: Caller,
    endpoint: String,
    wire: Wire,
    emulator: Emulator,
    reload: Reload,
    _running: JoinSet<Ended>,
}

/// The callers: `staff` has tokens with this group, `bob` has a key.
fn callers(issuer: &Issuer, bob: &Caller, group: &str) -> IdentitySettings {
    let claims = BTreeMap::from([("groups".to_owned(), group.to_owned())]);
    let tokens = vec![TokenSettings { issuer: issuer.settings.issuer.clone(), claims }];
    let name = "staff".to_owned();
    let staff = CallerSettings { tenant: name.clone(), name, tokens, ..CallerSettings::default() };
    IdentitySettings { callers: vec![staff, bob.settings.clone()], issuers: vec![issuer.settings.clone()] }
}

impl Server {
    async fn start() -> Self {
        Self::with(Issuer::start().await).await
    }

    async fn with(issuer: Issuer) -> Self {
        let bob = Caller::new("bob");
        let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
        let settings = Settings { identity: callers(&issuer, &bob, "staff"), ..Settings::local() };
        let bedrock = Bedrock::emulated(&emulator.endpoint(), settings.max_connect()).unwrap();
        let app = App::build(&settings, bedrock).await.unwrap();
        let (endpoint, reload) = (format!("http://{}", app.address()), app.reload());
        let mut running = JoinSet::new();
        running.spawn(app.run(std::future::pending(), std::future::pending()));
        Self { wire: Wire::to(&endpoint), issuer, bob, endpoint, emulator, reload, _running: running }
    }

    async fn call(&self, protocol: Protocol, path: &str, message: &[u8], credential: &str) -> Answer {
        let header = format!("Bearer {credential}");
        let answer = self.wire.call(protocol, path, message, &[("authorization", header.as_str())]).await;
        assert!(!format!("{answer:?}").contains(credential), "{answer:?}");
        answer
    }

    /// The code and the reason of a call over gRPC.
    async fn status(&self, credential: &str) -> (Option<Code>, String) {
        let answer = self.call(Protocol::Grpc, LIST_MODELS, b"", credential).await;
        (answer.code(), answer.reason().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_token_is_accepted_over_every_protocol_and_no_other_reaches_bedrock() {
    let header = json!({"alg": "EdDSA", "kid": "key"});
    for protocol in
        PROTOCOLS.into_iter().filter(|protocol| *protocol != Protocol::GrpcOverHttp1 && !protocol.is_connect())
    {
        let server = Server::start().await;
        let issuer = &server.issuer;
        let other = Issuer::start().await;
        let message = request("emulator.default").encode_to_vec();
        for (what, token, reason) in [
            ("alg none", issuer.sign(&json!({"alg": "none"}), "ada", &json!({})), "CREDENTIALS_INVALID"),
            ("HMAC", issuer.sign(&json!({"alg": "HS256", "kid": "key"}), "ada", &json!({})), "CREDENTIALS_INVALID"),
            (
                "another algorithm",
                issuer.sign(&json!({"alg": "RS256", "kid": "key"}), "ada", &json!({})),
                "CREDENTIALS_INVALID",
            ),
            (
                "unknown key",
                issuer.sign(&json!({"alg": "EdDSA", "kid": "x"}), "ada", &json!({})),
                "CREDENTIALS_INVALID",
            ),
            ("audience", issuer.token("ada", &json!({"aud": "other"})), "CREDENTIALS_INVALID"),
            ("issuer", other.token("ada", &json!({})), "CREDENTIALS_INVALID"),
            ("forged", other.sign(&header, "ada", &json!({"iss": issuer.settings.issuer})), "CREDENTIALS_INVALID"),
            ("not yet valid", issuer.token("ada", &json!({"nbf": now() + 600})), "CREDENTIALS_INVALID"),
            ("without exp", issuer.token("ada", &json!({"exp": null})), "CREDENTIALS_INVALID"),
            ("without sub", issuer.token("", &json!({})), "CREDENTIALS_INVALID"),
            ("another group", issuer.token("ada", &json!({"groups": ["guests"]})), "CREDENTIALS_INVALID"),
            ("expired", issuer.token("ada", &json!({"exp": now() - 61})), "CREDENTIALS_EXPIRED"),
        ] {
            let answer = server.call(protocol, GENERATE, &message, &token).await;
            let expected = (Some(Code::Unauthenticated), reason);
            assert_eq!((answer.code(), answer.reason()), expected, "{protocol:?} {what}");
        }
        assert_eq!(server.emulator.stats().requests, 0, "{protocol:?}");
        let valid = issuer.token("ada", &json!({}));
        for _ in 0..2 {
            let answer = server.call(protocol, GENERATE, &message, &valid).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {answer:?}");
        }
        assert_eq!(server.emulator.stats().requests, 2, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_when_its_token_expires_and_no_other_begins() {
    let server = Server::start().await;
    // It is accepted for a minute after `exp`, of which some seconds are left.
    let token = server.issuer.token("ada", &json!({"exp": now() - 55}));
    let mut stream = open_stream(&server.endpoint, &token, &request("emulator.endless")).await;
    let expired = loop {
        let status = server.status(&token).await;
        if status.0 != Some(Code::Ok) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(expired, (Some(Code::Unauthenticated), "CREDENTIALS_EXPIRED".to_owned()));
    for _ in 0..10 {
        stream.more().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_takes_a_token_from_its_caller_ends_its_streams_and_no_others() {
    let server = Server::start().await;
    let staff = server.issuer.token("ada", &json!({}));
    let both = server.issuer.token("eve", &json!({"groups": ["staff", "guests"]}));
    let stream = open_stream(&server.endpoint, &staff, &request("emulator.endless")).await;
    let mut of_both = open_stream(&server.endpoint, &both, &request("emulator.endless")).await;
    let mut of_bob = open_stream(&server.endpoint, &server.bob.key, &request("emulator.endless")).await;
    server.reload.replace_callers(&callers(&server.issuer, &server.bob, "guests")).unwrap();
    let ended = stream.status().await;
    assert_eq!((ended.code(), ended.reason()), (Some(Code::Unauthenticated), "CREDENTIALS_REVOKED"));
    assert_eq!(server.status(&staff).await, (Some(Code::Unauthenticated), "CREDENTIALS_INVALID".to_owned()));
    for _ in 0..10 {
        of_both.more().await;
        of_bob.more().await;
    }
    assert_eq!(server.status(&both).await.0, Some(Code::Ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subject_has_conversations_of_its_own() {
    let server = Server::start().await;
    let token = |subject: &str| server.issuer.token(subject, &json!({}));
    let (ada, eve) = (token("ada"), token("eve"));
    let created = unary(&server.endpoint, "CreateConversation", b"", &bearer(&ada)).await;
    let conversation_id =
        CreateConversationResponse::decode(created.as_slice()).unwrap().conversation.unwrap().conversation_id;
    let turn = GenerateRequest { conversation_id, ..request("emulator.default") }.encode_to_vec();
    for (credential, reason) in [
        (&eve, "CONVERSATION_NOT_FOUND"),
        (&server.bob.key, "CONVERSATION_NOT_FOUND"),
        // Another token of the same subject.
        (&server.issuer.token("ada", &json!({"jti": "2"})), ""),
    ] {
        assert_eq!(server.call(Protocol::Grpc, GENERATE, &turn, credential).await.reason(), reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_issuer_a_token_is_refused_and_keys_are_served() {
    let mut issuer = Issuer::start().await;
    // No process listens there.
    issuer.settings.jwks_uri = Some("https://127.0.0.1:9/keys".to_owned());
    let server = Server::with(issuer).await;
    let token = server.issuer.token("ada", &json!({}));
    for _ in 0..50 {
        let unavailable = (Some(Code::Unavailable), "IDENTITY_PROVIDER".to_owned());
        assert_eq!(server.status(&token).await, unavailable, "its caller is not throttled: it did nothing wrong");
    }
    assert_eq!(server.status(&server.bob.key).await.0, Some(Code::Ok));
}
