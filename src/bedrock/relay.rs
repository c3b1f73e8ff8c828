//! Sends a body as the caller wrote it, with an operation of the SDK whose serialized body is replaced before it is signed.

use aws_sdk_bedrockruntime::{
    Client,
    primitives::Blob,
    types::{ConverseTokensRequest, CountTokensInput},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextMut},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use bytes::Bytes;
use http::HeaderMap;
use tokio_stream::StreamExt;

use super::{
    Format, classify, cut,
    frames::{Frame, Frames},
    invoke,
    tap::Tap,
};
use crate::{
    error::{Error, truncated},
    event::EventMapper,
    proto::GenerateRequest,
    request::{
        Valid,
        relayed::{Operation, Relayed},
    },
};

/// The headers of InvokeModel with its tokens.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";
const OUTPUT_TOKENS: &str = "x-amzn-bedrock-output-token-count";

/// The format of an answer that is relayed.
#[derive(Debug)]
pub(crate) struct RelayedFormat {
    pub(super) operation: Operation,
    input_tokens: Option<i32>,
    output_tokens: Option<i32>,
}

impl RelayedFormat {
    /// The format of the answer to an operation, with these headers.
    pub(super) fn new(operation: Operation, head: &HeaderMap) -> Self {
        let number = |name| head.get(name)?.to_str().ok()?.parse().ok();
        Self { operation, input_tokens: number(INPUT_TOKENS), output_tokens: number(OUTPUT_TOKENS) }
    }
}

impl Format {
    /// Whether its frames are events of Converse.
    pub(crate) fn is_converse(&self) -> bool {
        match self {
            Self::Converse => true,
            Self::Relayed(format) => format.operation.is_converse(),
            Self::Native(_) | Self::Raw => false,
        }
    }

    /// Whether the answer comes at once.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Relayed(format) if format.operation.is_whole())
    }

    /// The events after the first content that need not be read, because they say nothing of the end of the answer or of its usage.
    pub(crate) fn unread(&self) -> &'static [&'static str] {
        match self {
            Self::Relayed(format) if format.operation == Operation::ConverseStream => {
                &["contentBlockDelta", "contentBlockStart", "contentBlockStop"]
            }
            _ => &[],
        }
    }

    /// Proves the end of an answer that came at once.
    ///
    /// # Errors
    /// `UPSTREAM_TRUNCATED`.
    pub(crate) fn prove(&self, mapper: &mut EventMapper, body: &[u8]) -> Result<(), Error> {
        match self {
            Self::Relayed(format) if !format.operation.is_converse() => {
                mapper.whole_native(body, format.input_tokens, format.output_tokens)
            }
            _ => mapper.whole_converse(body),
        }
    }
}

/// Replaces the body of a request.
#[derive(Debug)]
struct ReplacedBody(Bytes);

impl Intercept for ReplacedBody {
    fn name(&self) -> &'static str {
        "outcrop::ReplacedBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let length = self.0.len().to_string();
        request.headers_mut().insert("content-length", length);
        request.headers_mut().insert("content-type", "application/json");
        *request.body_mut() = SdkBody::from(self.0.clone());
        Ok(())
    }
}

/// Sends an operation with another body. The tap takes its answer.
macro_rules! send {
    ($body:expr, $tap:expr, $operation:expr) => {{
        let operation = $operation.customize().interceptor(ReplacedBody($body));
        match operation.send().await {
            Ok(_) => Ok(()),
            // The tap has taken the body of a success, so what the SDK makes of the rest does not count.
            Err(_) if $tap.has_body() => Ok(()),
            Err(error) => Err(classify::sdk_error(error)),
        }
    }};
}

/// Sends a request. The tap takes its answer.
pub(super) async fn send(
    client: &Client,
    relayed: &Relayed,
    request: Valid<GenerateRequest>,
    tap: &Tap,
) -> Result<(), Error> {
    let mut request = request.into_inner();
    let body = Bytes::from(std::mem::take(&mut request.native_body));
    let accept = if relayed.accept.is_empty() { "*/*" } else { &relayed.accept };
    match relayed.operation {
        Operation::ConverseStream => send!(body, tap, client.converse_stream().model_id(request.model)),
        Operation::Converse => send!(body, tap, client.converse().model_id(request.model)),
        Operation::InvokeModelWithResponseStream => {
            let operation = client.invoke_model_with_response_stream().accept(accept).body(Blob::new([]));
            send!(body, tap, invoke::with_settings!(operation, request))
        }
        Operation::InvokeModel => {
            let operation = client.invoke_model().accept(accept).body(Blob::new([]));
            send!(body, tap, invoke::with_settings!(operation, request))
        }
    }
}

/// Sends a request to count tokens. The tap takes its answer.
pub(super) async fn count(client: &Client, model_id: &str, body: Bytes, tap: &Tap) -> Result<(), Error> {
    let replaced = CountTokensInput::Converse(ConverseTokensRequest::builder().build());
    send!(body, tap, client.count_tokens().model_id(model_id).input(replaced))
}

/// The body of the answer with a token count.
///
/// # Errors
/// `UPSTREAM_TRUNCATED` if it has no count.
pub(super) async fn counted(body: SdkBody) -> Result<Bytes, Error> {
    let mut frames = Frames::whole(body);
    frames.at_most(cut::UNARY);
    let body = match frames.next().await.transpose()? {
        Some(Frame::Whole(body)) => body,
        _ => Bytes::new(),
    };
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if answer.get("inputTokens").is_some_and(serde_json::Value::is_number) {
        return Ok(body);
    }
    Err(truncated("the answer has no inputTokens"))
}
