//! Everything that knows AWS: a checked request goes out through the SDK, and frames come back.
//!
//! Comes after [`crate::request`] and before [`crate::event`]. Requests go out typed, through the SDK's builders;
//! answers come in raw, because the SDK's own types drop what is newer than they are.
//!
//! - `pool` as many SDK clients as the running streams need
//! - `connected` the settings -> AWS, or an emulator in this process
//! - [`client`] the SDK client: credentials, region, endpoint, time limits
//! - [`converse`] request -> ConverseStream input
//! - [`invoke`] request -> native body, native chunk -> events; one file a model family
//! - [`tap`] takes the response body out of the SDK, and notes each attempt
//! - [`frames`] body -> event-stream frames
//! - [`classify`] every failure -> [`Error`]

pub(crate) mod classify;
mod client;
mod connected;
mod converse;
pub(crate) mod frames;
pub(crate) mod invoke;
mod pool;
mod tap;

pub(crate) use self::pool::Lease;
pub use self::{
    classify::{EXCEPTIONS, STATUSES},
    client::CallSettings,
    connected::{ConnectError, Connected},
};
use self::{frames::Frames, pool::Pool, tap::Tap};
use crate::{
    error::{CallContext, Error, Reason},
    event::native::Decode,
    proto::{Attempt, CountTokensRequest, CountTokensResponse, GenerateRequest, Operation},
    request::Valid,
};
use aws_sdk_bedrockruntime::Config;

/// Bedrock in one region.
#[derive(Clone, Debug)]
pub struct Bedrock {
    pool: Pool,
    region: String,
}

/// A stream that Bedrock has agreed to send.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its frames.
    pub(crate) frames: Frames,
    /// What its frames hold.
    pub(crate) format: Format,
    /// The place that the stream takes up on its connection.
    pub(crate) lease: Lease,
    /// What is known about the call.
    pub(crate) call: CallContext,
    /// Every attempt; the last is this one.
    pub(crate) attempts: Vec<Attempt>,
}

/// What the frames of an answer hold.
#[derive(Debug)]
pub(crate) enum Format {
    /// The events of ConverseStream.
    Converse,
    /// Chunks of a model's own format, and what reads them.
    Native(Box<dyn Decode>),
    /// Chunks that nobody here reads.
    Raw,
}

impl Format {
    /// The operation that answers so.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Converse => Operation::ConverseStream,
            Self::Native(_) | Self::Raw => Operation::InvokeModelWithResponseStream,
        }
    }
}

impl Bedrock {
    fn new(config: Config, region: String) -> Self {
        Self { pool: Pool::new(config), region }
    }

    /// The Bedrock emulator at this address.
    pub fn emulated(endpoint: &str, settings: &CallSettings) -> Self {
        client::emulated(endpoint, settings)
    }

    /// Opens the stream, by the operation that the request asks for or that suits its model. Failed attempts are repeated
    /// by the SDK as far as the configuration allows; none of them has reached the caller.
    pub(crate) async fn open(&self, request: Valid<GenerateRequest>) -> Result<Upstream, Error> {
        match invoke::format_of(request.get())? {
            Format::Converse => self.converse_stream(request).await,
            format => self.invoke(request, format).await,
        }
    }

    async fn converse_stream(&self, request: Valid<GenerateRequest>) -> Result<Upstream, Error> {
        let lease = self.pool.lease();
        let operation = converse::stream(lease.client(), request)?;
        let model_id = operation.get_model_id().clone().unwrap_or_default();
        let tap = Tap::of_stream(model_id.clone(), self.region.clone());
        let result = operation.customize().interceptor(tap.clone()).send().await.map(drop);
        self.opened(result.map_err(classify::sdk_error), tap, model_id, (Format::Converse, lease))
    }

    async fn invoke(&self, request: Valid<GenerateRequest>, format: Format) -> Result<Upstream, Error> {
        let lease = self.pool.lease();
        let operation = invoke::operation(lease.client(), request)?;
        let model_id = operation.get_model_id().clone().unwrap_or_default();
        let tap = Tap::of_stream(model_id.clone(), self.region.clone());
        let result = operation.customize().interceptor(tap.clone()).send().await.map(drop);
        self.opened(result.map_err(classify::sdk_error), tap, model_id, (format, lease))
    }

    fn opened(
        &self,
        result: Result<(), Error>,
        tap: Tap,
        model_id: String,
        (format, lease): (Format, Lease),
    ) -> Result<Upstream, Error> {
        let (body, attempts, request_id) = tap.into_parts();
        let call = self.call(model_id, &attempts, request_id);
        match (result, body) {
            (Ok(()), Some(body)) => Ok(Upstream { frames: Frames::new(body), format, lease, call, attempts }),
            (Ok(()), None) => Err(Error::new(Reason::Internal, "the SDK answered without a body").in_call(call)),
            (Err(error), _) => Err(error.in_call(call)),
        }
    }

    /// Counts the tokens of a request.
    pub(crate) async fn count_tokens(&self, request: Valid<CountTokensRequest>) -> Result<CountTokensResponse, Error> {
        let lease = self.pool.lease();
        let operation = converse::count(lease.client(), request)?;
        let model_id = operation.get_model_id().clone().unwrap_or_default();
        let tap = Tap::of_unary(model_id.clone(), self.region.clone());
        let result = operation.customize().interceptor(tap.clone()).send().await;
        let (_, attempts, request_id) = tap.into_parts();
        match result {
            Ok(counted) => Ok(CountTokensResponse { input_tokens: counted.input_tokens, model_id }),
            Err(error) => Err(classify::sdk_error(error).in_call(self.call(model_id, &attempts, request_id))),
        }
    }

    fn call(&self, model_id: String, attempts: &[Attempt], request_id: String) -> CallContext {
        let attempts = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        CallContext { model_id, region: self.region.clone(), request_id, attempts }
    }
}
