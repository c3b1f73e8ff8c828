//! The checks of a call have one order: a call that fails several is told of the first.

use std::num::NonZeroU32;

use outcrop::config::Settings;
use outcrop_client::proto::{GenerateRequest, Message};
use prost::Message as _;
use tonic::Code;

use crate::{
    callers::{Answer, Caller, Protocol, Wire, open_stream},
    harness::{Harness, request},
};

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

/// A server with one caller, and one stream at a time.
struct Server {
    harness: Harness,
    ada: Caller,
}

impl Server {
    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let ada = Caller::new("ada");
        let harness = Harness::with(|settings| {
            settings.identity.callers = vec![ada.settings.clone()];
            settings.max_request_bytes = 1_000;
            settings.limits.streams = 1;
            change(settings);
        })
        .await;
        Self { harness, ada }
    }

    async fn call(&self, path: &str, message: &[u8], key: &str) -> Answer {
        let wire = Wire::to(&self.harness.endpoint);
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        wire.call(Protocol::Grpc, path, message, if key.is_empty() { &[] } else { &headers }).await
    }

    /// The reason of the refusal.
    async fn refused(&self, path: &str, message: &[u8], key: &str) -> String {
        let answer = self.call(path, message, key).await;
        assert_ne!(answer.code(), Some(Code::Ok), "{path}");
        answer.reason().to_owned()
    }
}

/// A request that breaks a rule of the contract.
fn invalid() -> Vec<u8> {
    GenerateRequest { messages: vec![Message::default()], ..request("emulator.default") }.encode_to_vec()
}

#[tokio::test]
async fn the_caller_comes_first_then_the_method_then_the_rate_then_the_message() {
    let server = Server::with(|settings| settings.limits.requests_per_minute = NonZeroU32::new(1)).await;
    let key = &server.ada.key;
    let large = [0; 2_000];
    // The only call of the minute.
    assert_eq!(server.refused(GENERATE, &large, key).await, "MESSAGE_TOO_LARGE");
    for (path, key, reason) in [
        ("/outcrop.v1.GenerationService/Create", "", "CREDENTIALS_MISSING"),
        (GENERATE, "", "CREDENTIALS_MISSING"),
        ("/outcrop.v1.GenerationService/Create", key.as_str(), "UNKNOWN_METHOD"),
        (GENERATE, key, "LOCAL_LIMIT"),
    ] {
        assert_eq!(server.refused(path, &large, key).await, reason, "{path}");
    }
    assert_eq!(server.harness.emulator.stats().requests, 0, "Bedrock is not called");
}

#[tokio::test]
async fn the_message_comes_before_the_request_and_that_before_the_permits() {
    let server = Server::with(|_| {}).await;
    let key = &server.ada.key;
    let running = open_stream(&server.harness.endpoint, key, &request("emulator.endless")).await;
    let too_large = [invalid(), vec![0; 2_000]].concat();
    let valid = request("emulator.default").encode_to_vec();
    for (message, reason) in [
        (too_large, "MESSAGE_TOO_LARGE"),
        (b"\xff".to_vec(), "MALFORMED_REQUEST"),
        (invalid(), "INVALID_REQUEST"),
        (valid, "LOCAL_LIMIT"),
    ] {
        assert_eq!(server.refused(GENERATE, &message, key).await, reason);
    }
    assert_eq!(server.harness.emulator.stats().requests, 1, "Bedrock is called for the running stream alone");
    drop(running);
}
