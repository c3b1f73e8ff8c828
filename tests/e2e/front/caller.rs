//! Callers of the API: the AWS SDK, and plain HTTP.

use std::{net::Ipv4Addr, time::Duration};

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{BehaviorVersion, Region, StalledStreamProtectionConfig, retry::RetryConfig},
    primitives::Blob,
    types::{ContentBlock, ConversationRole, ConverseStreamOutput, Message, ResponseStream},
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop::config::Settings;

use crate::harness::Harness;

/// A server with the API.
pub(super) async fn serving(change: impl FnOnce(&mut Settings)) -> Harness {
    Harness::with(|settings| {
        settings.bedrock_api = true;
        settings.attempts = 1;
        change(settings);
    })
    .await
}

/// The SDK as an application has it, with this endpoint alone.
pub(crate) fn sdk(endpoint: &str) -> Client {
    sdk_with(endpoint, Credentials::new("a-caller", "anything", None, None, "test"))
}

/// The same with credentials of its own.
pub(super) fn sdk_with(endpoint: &str, credentials: Credentials) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

pub(super) fn user(text: &str) -> Message {
    Message::builder().role(ConversationRole::User).content(ContentBlock::Text(text.into())).build().unwrap()
}

/// What the SDK makes of an answer: its text, its stop reason, and the exception, by name, with what it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) stop: String,
    pub(crate) exception: String,
}

impl Told {
    pub(super) fn failed(error: impl std::fmt::Debug) -> Self {
        Self { exception: format!("{error:?}"), ..Self::default() }
    }
}

pub(crate) async fn converse_stream(client: &Client, model: &str) -> Told {
    let sent = client.converse_stream().model_id(model).messages(user("hi")).send().await;
    let mut stream = match sent {
        Ok(answer) => answer.stream,
        Err(error) => return Told::failed(error.into_service_error()),
    };
    let mut told = Told::default();
    loop {
        match stream.recv().await {
            Ok(Some(ConverseStreamOutput::ContentBlockDelta(event))) => {
                if let Some(delta) = event.delta()
                    && let Ok(text) = delta.as_text()
                {
                    told.text.push_str(text);
                }
            }
            Ok(Some(ConverseStreamOutput::MessageStop(event))) => {
                event.stop_reason().as_str().clone_into(&mut told.stop);
            }
            Ok(Some(_)) => {}
            Ok(None) => return told,
            Err(error) => return Told { exception: format!("{error:?}"), ..told },
        }
    }
}

pub(super) async fn converse(client: &Client, model: &str) -> Told {
    match client.converse().model_id(model).messages(user("hi")).send().await {
        Ok(answer) => {
            let message = answer.output().unwrap().as_message().unwrap();
            let text = message.content().iter().filter_map(|block| block.as_text().ok().cloned()).collect();
            assert!(answer.usage().is_some_and(|usage| usage.output_tokens() > 0));
            Told { text, stop: answer.stop_reason().as_str().to_owned(), ..Told::default() }
        }
        Err(error) => Told::failed(error.into_service_error()),
    }
}

/// A body of Claude's, and its text in the chunks of the answer.
pub(super) const CLAUDE: &str =
    r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;

pub(super) async fn invoke_stream(client: &Client, model: &str) -> Told {
    let sent = client.invoke_model_with_response_stream().model_id(model).body(Blob::new(CLAUDE)).send().await;
    let mut stream = match sent {
        Ok(answer) => answer.body,
        Err(error) => return Told::failed(error.into_service_error()),
    };
    let mut told = Told::default();
    loop {
        match stream.recv().await {
            Ok(Some(ResponseStream::Chunk(part))) => {
                let chunk: serde_json::Value =
                    serde_json::from_slice(part.bytes().map(Blob::as_ref).unwrap_or_default()).unwrap();
                told.text.push_str(chunk["delta"]["text"].as_str().unwrap_or_default());
                told.stop.push_str(chunk["delta"]["stop_reason"].as_str().unwrap_or_default());
            }
            Ok(Some(_)) => {}
            Ok(None) => return told,
            Err(error) => return Told { exception: format!("{error:?}"), ..told },
        }
    }
}

pub(super) async fn invoke(client: &Client, model: &str) -> Told {
    match client.invoke_model().model_id(model).body(Blob::new(CLAUDE)).send().await {
        Ok(answer) => {
            let body: serde_json::Value = serde_json::from_slice(answer.body().as_ref()).unwrap();
            let text = body["content"][0]["text"].as_str().unwrap_or_default().to_owned();
            Told { text, stop: body["stop_reason"].as_str().unwrap_or_default().to_owned(), ..Told::default() }
        }
        Err(error) => Told::failed(error.into_service_error()),
    }
}

/// An answer over plain HTTP.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    /// The exception of AWS.
    pub(super) fn exception(&self) -> &str {
        self.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The message in the shape of AWS.
    pub(super) fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["message"].as_str().unwrap().to_owned()
    }
}

/// Sends a request, over HTTP/1.1 or over h2c.
pub(super) async fn send(request: Request<Full<Bytes>>, over_h2: bool) -> Answered {
    send_from(Ipv4Addr::LOCALHOST, request, over_h2).await
}

/// Sends a request from this address.
pub(super) async fn send_from(address: Ipv4Addr, request: Request<Full<Bytes>>, over_h2: bool) -> Answered {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(address.into()));
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    let http = Http::builder(TokioExecutor::new()).http2_only(over_h2).build(connector);
    let answer = http.request(request).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Answered { status, headers, body }
}

/// A request with a body.
pub(super) fn post(endpoint: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(format!("{endpoint}{path}")).header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}
