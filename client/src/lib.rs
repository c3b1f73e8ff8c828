//! The client of Outcrop. It calls `Generate`, returns typed chunks, and checks the promises of the contract.
//!
//! # Layout
//!
//! - [`Client`] connects (`connect`) and calls; [`ClientBuilder`] has the certificates and the API key; [`Chunks`] is the stream of an answer
//! - [`Answer`] is a complete answer with a message that can be sent back
//! - [`json`] converts between JSON text and messages of the contract
//! - [`error`] the errors, with google.rpc details decoded; `retry` repeats calls
//! - [`cli`] the program; `printer` has a printer for each format, and `markdown` lays text out on a terminal, and `terminal` replaces control characters
//! - [`proto`] the generated contract
//!
//! # A whole answer
//!
//! ```no_run
//! # async fn example() -> Result<(), outcrop_client::ClientError> {
//! use outcrop_client::{Client, proto::GenerateRequest};
//!
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//! let answer = client.answer(GenerateRequest { prompt: "hi".into(), ..Default::default() }).await?;
//! println!("{} ({})", answer.text(), answer.finish.stop_reason_name);
//! # Ok(())
//! # }
//! ```
//!
//! `answer.message` goes back unchanged in `messages` of the next request: reasoning has its signature, text its citations.
//!
//! # An answer as it arrives
//!
//! ```no_run
//! # async fn example(client: outcrop_client::Client) -> Result<(), outcrop_client::ClientError> {
//! use outcrop_client::proto::{GenerateRequest, chunk::Event};
//!
//! let mut chunks = client.generate(GenerateRequest { prompt: "hi".into(), ..Default::default() }).await?;
//! while let Some(chunk) = chunks.next().await? {
//!     if let Some(Event::Text(text)) = chunk.event {
//!         print!("{text}");
//!     }
//! }
//! // Reached only if the message is complete. Dropping the chunks earlier cancels the call.
//! # Ok(())
//! # }
//! ```
//!
//! # TLS, an API key and retries
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outcrop_client::Client;
//!
//! let client = Client::builder("https://outcrop.example")
//!     .trusting(&std::fs::read("ca.pem")?)
//!     .api_key(std::env::var("OUTCROP_API_KEY")?.into())
//!     // Only where the server names a delay, and never after content.
//!     .retries(3)
//!     .connect()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! ```no_run
//! # async fn example(client: outcrop_client::Client, request: outcrop_client::proto::GenerateRequest) {
//! use outcrop_client::ClientError;
//!
//! match client.answer(request).await {
//!     Ok(answer) => println!("{}", answer.text()),
//!     Err(ClientError::Call(call)) if call.is_after_content() => eprintln!("the answer broke off: {call}"),
//!     Err(ClientError::Call(call)) => eprintln!("{}: retry after {:?}", call.reason, call.retry_delay),
//!     Err(error) => eprintln!("{error}"),
//! }
//! # }
//! ```

mod builder;
mod chunks;
pub mod cli;
mod connect;
pub mod error;
pub mod json;
#[cfg(feature = "terminal")]
mod markdown;
mod printer;
pub mod proto;
mod retry;
mod terminal;

use tonic::{Status, service::interceptor::InterceptedService, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::proto::{
    Conversation, CountTokensRequest, CreateConversationRequest, DeleteConversationRequest, GenerateRequest,
    GetConversationRequest, ListConversationsRequest, ListModelsRequest, ListModelsResponse, ListQuotasRequest,
    ListQuotasResponse, Turn, generation_service_client::GenerationServiceClient,
};
use crate::{builder::Credentials, connect::DetectedProtocol, retry::retrying};
pub use outcrop_contract::{Answer, Collector};
pub use outcrop_secret_file::SecretString;

pub use crate::{
    builder::ClientBuilder,
    chunks::Chunks,
    error::{CallError, ClientError},
};

/// The largest chunk accepted, in bytes: an event-stream frame of Bedrock has at most 16 MiB.
const MAX_CHUNK: usize = 32 << 20;

/// A connection to a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    service: GenerationServiceClient<InterceptedService<Channel, Credentials>>,
    health: HealthClient<InterceptedService<Channel, Credentials>>,
    endpoint: String,
    spoken: DetectedProtocol,
    retries: u32,
}

impl Client {
    /// Connects to a server: with TLS to `https://outcrop.example`, without encryption to `http://127.0.0.1:50051`. The server's
    /// certificate must come from an authority that the machine trusts.
    ///
    /// # Errors
    /// If the endpoint is invalid, there is no server, the server uses another protocol, or its certificate is not trusted.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        Self::builder(endpoint).connect().await
    }

    /// Connects with TLS to a server whose certificate comes from one of these authorities, given in PEM. No others are trusted.
    ///
    /// # Errors
    /// As [`Client::connect`], and if the endpoint does not begin with `https://`.
    pub async fn connect_trusting(endpoint: &str, authorities: &[u8]) -> Result<Self, ClientError> {
        Self::builder(endpoint).trusting(authorities).connect().await
    }

    /// A connection with a certificate, an API key or authorities of its own.
    pub fn builder(endpoint: &str) -> ClientBuilder {
        ClientBuilder::new(endpoint)
    }

    /// Uses an existing channel.
    pub fn over(channel: Channel) -> Self {
        Self::with_credentials(channel, Credentials::default())
    }

    fn with_credentials(channel: Channel, credentials: Credentials) -> Self {
        let health = HealthClient::with_interceptor(channel.clone(), credentials.clone());
        let service = GenerationServiceClient::with_interceptor(channel, credentials);
        let service = service.max_decoding_message_size(MAX_CHUNK);
        Self { service, health, endpoint: String::new(), spoken: DetectedProtocol::default(), retries: 0 }
    }

    fn is_encrypted(&self) -> bool {
        self.endpoint.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    }

    /// The error of a failed call.
    fn failure(&self, status: &Status) -> ClientError {
        match self.spoken.problem() {
            Some(message) => ClientError::Protocol { endpoint: self.endpoint.clone(), message },
            None => {
                let mut error = CallError::from(status);
                // The reason is lost if the server refuses the certificate between the handshake and the call.
                if error.is_disconnected && error.message.ends_with("connection closed") && self.is_encrypted() {
                    error.message += ". If the server needs a client certificate, name one that it accepts with --cert FILE and --key FILE";
                }
                error.into()
            }
        }
    }

    /// Generates an answer. Returns when its first chunk has arrived; with [retries](ClientBuilder::retries), when its first content has.
    /// Dropping the chunks cancels the call. A timeout of the request is the timeout of each attempt.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn generate(&self, request: impl tonic::IntoRequest<GenerateRequest>) -> Result<Chunks, ClientError> {
        let (metadata, extensions, message) = request.into_request().into_parts();
        if self.retries == 0 {
            return self.attempt(tonic::Request::from_parts(metadata, extensions, message)).await;
        }
        let attempt = || async {
            let parts = (metadata.clone(), extensions.clone(), message.clone());
            let mut chunks = self.attempt(tonic::Request::from_parts(parts.0, parts.1, parts.2)).await?;
            chunks.wait_for_content().await?;
            Ok(chunks)
        };
        retrying(self.retries, attempt).await
    }

    async fn attempt(&self, request: tonic::Request<GenerateRequest>) -> Result<Chunks, ClientError> {
        let mut service = self.service.clone();
        // Boxed, because the future of a request is large, and that of every caller would be.
        let response = Box::pin(service.generate(request)).await.map_err(|status| self.failure(&status))?;
        Ok(Chunks::new(response.into_inner()))
    }

    /// Generates an answer and returns it when it is complete. The server puts its message together (`include_message`), unless the request has a
    /// `native_body`.
    ///
    /// # Errors
    /// As [`Client::generate`] and [`Chunks::next`]. A part of an answer is not returned.
    pub async fn answer(&self, request: impl tonic::IntoRequest<GenerateRequest>) -> Result<Answer, ClientError> {
        let mut request = request.into_request();
        request.get_mut().include_message |= request.get_ref().native_body.is_empty();
        self.generate(request).await?.answer().await
    }

    /// Counts the input tokens of a request.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn count_tokens(&self, request: impl tonic::IntoRequest<CountTokensRequest>) -> Result<i32, ClientError> {
        let (metadata, extensions, message) = request.into_request().into_parts();
        let attempt = || async {
            let parts = (metadata.clone(), extensions.clone(), message.clone());
            let request = tonic::Request::from_parts(parts.0, parts.1, parts.2);
            let response = self.service.clone().count_tokens(request).await.map_err(|status| self.failure(&status))?;
            Ok(response.into_inner().input_tokens)
        };
        retrying(self.retries, attempt).await
    }

    /// Lists the models that requests can name.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn models(&self) -> Result<ListModelsResponse, ClientError> {
        let response = self.service.clone().list_models(ListModelsRequest {}).await;
        Ok(response.map_err(|status| self.failure(&status))?.into_inner())
    }

    /// The health of a service by the gRPC health protocol, such as `SERVING`. The empty name means the server as a whole.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status: `NOT_FOUND` if the server does not know the service.
    pub async fn health(&self, service: &str) -> Result<&'static str, ClientError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = self.health.clone().check(request).await.map_err(|status| self.failure(&status))?;
        Ok(response.into_inner().status().as_str_name())
    }

    /// Lists how much is used of the quotas of models, and of the limits and budgets of the caller.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn quotas(&self) -> Result<ListQuotasResponse, ClientError> {
        let response = self.service.clone().list_quotas(ListQuotasRequest {}).await;
        Ok(response.map_err(|status| self.failure(&status))?.into_inner())
    }

    /// Creates a conversation. `GenerateRequest::conversation_id` takes its id.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn create_conversation(&self, request: CreateConversationRequest) -> Result<Conversation, ClientError> {
        let response = self.service.clone().create_conversation(request).await;
        Ok(response.map_err(|status| self.failure(&status))?.into_inner().conversation.unwrap_or_default())
    }

    /// Returns a conversation with all stored turns, oldest first. It reads all pages.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn conversation(&self, id: &str) -> Result<(Conversation, Vec<Turn>), ClientError> {
        let (mut turns, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = GetConversationRequest { conversation_id: id.to_owned(), page_size: 0, page_token };
            let response = self.service.clone().get_conversation(request).await;
            let page = response.map_err(|status| self.failure(&status))?.into_inner();
            turns.extend(page.turns);
            if page.next_page_token.is_empty() {
                return Ok((page.conversation.unwrap_or_default(), turns));
            }
            page_token = page.next_page_token;
        }
    }

    /// Returns a page of conversations, most recently used first, and the token of the next page, which is empty after the last.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn conversations(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Conversation>, String), ClientError> {
        let request = ListConversationsRequest { page_size, page_token: page_token.to_owned() };
        let response = self.service.clone().list_conversations(request).await;
        let page = response.map_err(|status| self.failure(&status))?.into_inner();
        Ok((page.conversations, page.next_page_token))
    }

    /// Deletes a conversation and its turns.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the details of the status.
    pub async fn delete_conversation(&self, id: &str) -> Result<(), ClientError> {
        let request = DeleteConversationRequest { conversation_id: id.to_owned() };
        self.service.clone().delete_conversation(request).await.map_err(|status| self.failure(&status))?;
        Ok(())
    }
}
