//! The gRPC side of the bridges: a server of tonic with the method `Generate`, and nothing else of Outcrop.
//!
//! A bridge checks no identity and has no limits. It is what a program of one's own would begin with.
//!
//! - `bare` over HTTP and the frames of event streams
//! - `sdk` over the AWS SDK

pub(crate) mod bare;
pub(crate) mod sdk;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use outcrop_contract::v1::{
    BlockStop, Chunk, CountTokensRequest, CountTokensResponse, CreateConversationRequest, CreateConversationResponse,
    DeleteConversationRequest, DeleteConversationResponse, Finish, GenerateRequest, GetConversationRequest,
    GetConversationResponse, ListConversationsRequest, ListConversationsResponse, ListModelsRequest,
    ListModelsResponse, ListQuotasRequest, ListQuotasResponse, Start, StopReason, TokenUsage, chunk::Event,
};
use tokio::{net::TcpListener, runtime::Builder};
use tokio_stream::Stream;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use self::generated::generation_service_server::{GenerationService, GenerationServiceServer};
use crate::Failure;

mod generated {
    #![expect(
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        reason = "generated; the comments of the proto files become the docs"
    )]

    tonic::include_proto!("outcrop.v1");
}

/// How a bridge is started.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The URL of the API of Bedrock
    #[arg(long)]
    upstream: String,
    /// The number of threads of the runtime [default: the number of cores]
    #[arg(long)]
    workers: Option<usize>,
    /// A file with the certificate of the server
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// A file with its private key
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// What answers a call.
trait Answers: Send + Sync + 'static {
    type Chunks: Stream<Item = Result<Chunk, Status>> + Send + 'static;

    fn answer(&self, request: GenerateRequest) -> impl Future<Output = Result<Self::Chunks, Status>> + Send;
}

/// The service over what answers its calls.
struct Bridge<Upstream>(Upstream);

/// The chunks of an answer, numbered, and what its end reports.
#[derive(Debug, Default)]
struct Numbered {
    next: u32,
    stop_reason: String,
    has_ended: bool,
}

impl Numbered {
    fn chunk(&mut self, block: Option<i32>, event: Event) -> Chunk {
        let sequence = Some(self.next);
        self.next += 1;
        Chunk { sequence, content_block_index: block, unrecognized: None, event: Some(event) }
    }

    fn start(&mut self, model_id: &str) -> Chunk {
        self.chunk(None, Event::Start(Box::new(Start { model_id: model_id.to_owned(), ..Start::default() })))
    }

    fn text(&mut self, block: i32, text: String) -> Chunk {
        self.chunk(Some(block), Event::Text(text))
    }

    fn block_stop(&mut self, block: i32) -> Chunk {
        self.chunk(Some(block), Event::BlockStop(BlockStop {}))
    }

    /// The last chunk, with the tokens of the input, of the output, and of both.
    fn finish(&mut self, tokens: [i32; 3]) -> Chunk {
        self.has_ended = true;
        let [input_tokens, output_tokens, total_tokens] = tokens.map(Some);
        let usage = TokenUsage { input_tokens, output_tokens, total_tokens, ..TokenUsage::default() };
        let stop_reason = if self.stop_reason == "end_turn" { StopReason::EndTurn } else { StopReason::Unspecified };
        let stop_reason_name = std::mem::take(&mut self.stop_reason);
        let stop_reason = stop_reason.into();
        let finish = Finish { stop_reason, stop_reason_name, usage: Some(usage), ..Finish::default() };
        self.chunk(None, Event::Finish(Box::new(finish)))
    }

    /// The end of the upstream: right after the message has ended, otherwise an error.
    fn end(&self) -> Option<Result<Chunk, Status>> {
        (!self.has_ended).then(|| Err(failed("the stream ended before the message was complete")))
    }
}

/// Serves calls on a runtime of tokio until the process is killed.
fn serve<A: Answers>(
    settings: Settings,
    answers: impl AsyncFnOnce(String) -> Result<A, Failure>,
) -> Result<(), Failure> {
    let mut runtime = Builder::new_multi_thread();
    if let Some(workers) = settings.workers {
        runtime.worker_threads(workers);
    }
    runtime.enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let mut server = Server::builder();
        if let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
            let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
            server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
        }
        let service = GenerationServiceServer::new(Bridge(answers(settings.upstream).await?));
        println!("listening on {}", listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        server.add_service(service).serve_with_incoming(incoming).await?;
        Ok(())
    })
}

/// The end of a call that failed.
#[expect(clippy::disallowed_methods, reason = "a bridge is not the server, and has no reasons")]
#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn failed(why: impl ToString) -> Status {
    Status::unavailable(why.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a bridge is not the server, and has no reasons")]
fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("a bridge has Generate alone"))
}

#[tonic::async_trait]
impl<A: Answers> GenerationService for Bridge<A> {
    type GenerateStream = A::Chunks;

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<A::Chunks>, Status> {
        Ok(Response::new(self.0.answer(request.into_inner()).await?))
    }

    async fn count_tokens(&self, _: Request<CountTokensRequest>) -> Result<Response<CountTokensResponse>, Status> {
        not_here()
    }

    async fn list_models(&self, _: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        not_here()
    }

    async fn list_quotas(&self, _: Request<ListQuotasRequest>) -> Result<Response<ListQuotasResponse>, Status> {
        not_here()
    }

    async fn create_conversation(
        &self,
        _: Request<CreateConversationRequest>,
    ) -> Result<Response<CreateConversationResponse>, Status> {
        not_here()
    }

    async fn get_conversation(
        &self,
        _: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        not_here()
    }

    async fn list_conversations(
        &self,
        _: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        not_here()
    }

    async fn delete_conversation(
        &self,
        _: Request<DeleteConversationRequest>,
    ) -> Result<Response<DeleteConversationResponse>, Status> {
        not_here()
    }
}
