//! The client of Outcrop: calls `Generate` and gives back typed chunks, with the promises of the contract checked.
//!
//! # Layout
//!
//! - [`Client`] connects and calls; [`Chunks`] is the stream
//! - [`Answer`] is a stream put together into a message that can be sent again
//! - [`json`] JSON text and the messages of the contract
//! - [`error`] what a call can fail with, its google.rpc details decoded
//! - [`cli`] the program: arguments -> request -> printed answer -> exit code; `printer` has one printer per format
//! - [`proto`] the contract, generated
//!
//! ```no_run
//! # async fn example() -> Result<(), outcrop_client::ClientError> {
//! use outcrop_client::{Client, proto::{GenerateRequest, chunk::Event}};
//!
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//! let mut chunks = client.generate(GenerateRequest { prompt: "hi".into(), ..Default::default() }).await?;
//! let mut answer = String::new();
//! while let Some(chunk) = chunks.next().await? {
//!     if let Some(Event::Text(text)) = chunk.event {
//!         answer.push_str(&text);
//!     }
//! }
//! // Reached only if the message is whole: everything else is an error.
//! # Ok(())
//! # }
//! ```

mod answer;
mod chunks;
pub mod cli;
pub mod error;
pub mod json;
mod printer;
pub mod proto;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::proto::{CountTokensRequest, GenerateRequest, generation_service_client::GenerationServiceClient};
pub use crate::{
    answer::{Answer, Collector},
    chunks::Chunks,
    error::{CallError, ClientError},
};

/// How often a connection that is silent during a call is asked whether it is alive, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The largest chunk accepted, in bytes: an event-stream frame of Bedrock has at most 16 MiB.
const MAX_CHUNK: usize = 32 << 20;

/// A connection to a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    service: GenerationServiceClient<Channel>,
}

impl Client {
    /// Connects to a server, such as `http://127.0.0.1:50051`.
    ///
    /// # Errors
    /// If the address is none, or nobody listens there.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        let unusable = |source| ClientError::Connect { endpoint: endpoint.to_owned(), source };
        let channel = Endpoint::from_shared(endpoint.to_owned()).map_err(unusable)?;
        let channel = channel.tcp_nodelay(true).http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
        Ok(Self::over(channel.connect().await.map_err(unusable)?))
    }

    /// Calls over a channel made elsewhere, for example with TLS.
    pub fn over(channel: Channel) -> Self {
        Self { service: GenerationServiceClient::new(channel).max_decoding_message_size(MAX_CHUNK) }
    }

    /// Asks for an answer. Returns once its first chunk is there; dropping the chunks cancels the call.
    ///
    /// # Errors
    /// [`ClientError::Call`] with everything the server said.
    pub async fn generate(&self, request: impl tonic::IntoRequest<GenerateRequest>) -> Result<Chunks, ClientError> {
        let response = self.service.clone().generate(request).await.map_err(|status| CallError::from(&status))?;
        Ok(Chunks::new(response.into_inner()))
    }

    /// Counts the tokens that a request would be charged for as its input.
    ///
    /// # Errors
    /// [`ClientError::Call`] with everything the server said.
    pub async fn count_tokens(&self, request: impl tonic::IntoRequest<CountTokensRequest>) -> Result<i32, ClientError> {
        let response = self.service.clone().count_tokens(request).await.map_err(|status| CallError::from(&status))?;
        Ok(response.into_inner().input_tokens)
    }
}
