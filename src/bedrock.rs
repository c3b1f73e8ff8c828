//! Everything that knows AWS: a checked request goes out through the SDK, and frames come back.
//!
//! Comes after [`crate::request`] and before [`crate::event`]. Requests go out typed, through the SDK's builders;
//! answers come in raw, because the SDK's own types drop what is newer than they are.
//!
//! - `connected` the settings -> AWS, or an emulator in this process
//! - [`client`] the SDK client: credentials, region, endpoint, time limits
//! - [`converse`] request -> ConverseStream input
//! - [`tap`] takes the response body out of the SDK, and notes each attempt
//! - [`frames`] body -> event-stream frames
//! - [`classify`] every failure -> [`Error`]

pub(crate) mod classify;
mod client;
mod connected;
mod converse;
pub(crate) mod frames;
mod tap;

use aws_sdk_bedrockruntime::Client;

pub use self::{
    client::CallSettings,
    connected::{ConnectError, Connected},
};
use self::{frames::Frames, tap::Tap};
use crate::{
    error::{CallContext, Error, Reason},
    proto::Attempt,
    request::ValidRequest,
};

/// Bedrock in one region.
#[derive(Clone, Debug)]
pub struct Bedrock {
    client: Client,
    region: String,
}

/// A stream that Bedrock has agreed to send.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its frames.
    pub(crate) frames: Frames,
    /// What is known about the call.
    pub(crate) call: CallContext,
    /// Every attempt; the last is this one.
    pub(crate) attempts: Vec<Attempt>,
}

impl Bedrock {
    fn new(client: Client, region: String) -> Self {
        Self { client, region }
    }

    /// The Bedrock emulator at this address.
    pub fn emulated(endpoint: &str, settings: &CallSettings) -> Self {
        client::emulated(endpoint, settings)
    }

    /// Opens a ConverseStream. Failed attempts are repeated by the SDK as far as the configuration allows; none of them
    /// has reached the caller.
    pub(crate) async fn converse_stream(&self, request: ValidRequest) -> Result<Upstream, Error> {
        let tap = Tap::new(request.model_id.clone(), self.region.clone());
        let model_id = request.model_id.clone();
        let result = converse::operation(&self.client, request)?.customize().interceptor(tap.clone()).send().await;
        let (body, attempts, request_id) = tap.into_parts();
        let call = CallContext {
            model_id,
            region: self.region.clone(),
            request_id,
            attempts: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
        };
        match (result, body) {
            (Ok(_), Some(body)) => Ok(Upstream { frames: Frames::new(body), call, attempts }),
            (Ok(_), None) => Err(Error::new(Reason::Internal, "the SDK answered without a body").in_call(call)),
            (Err(error), _) => Err(classify::sdk_error(error).in_call(call)),
        }
    }
}
