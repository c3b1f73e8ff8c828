//! The gRPC methods, thin: validate -> admit -> make attempts -> return the stream. The order is part of the contract.

use std::sync::Arc;

use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::warn;

use crate::{
    admission::{AdmissionControl, Permit, client_id::ClientId},
    conversation::Conversations,
    error::Error,
    failover::{Failover, attempt_log::AttemptLog},
    metrics::Metrics,
    proto::{
        CountTokensRequest, CountTokensResponse, CreateConversationRequest, CreateConversationResponse,
        DeleteConversationRequest, DeleteConversationResponse, GenerateRequest, GetConversationRequest,
        GetConversationResponse, ListConversationsRequest, ListConversationsResponse, ListModelsRequest,
        ListModelsResponse, generation_service_server::GenerationService,
    },
    request::{self, Rules, generation_id::GenerationId, timeouts::Deadline},
    response::{
        abandoned::AbandonedCalls,
        call::{Call, CallParts, Held},
        pending::PendingResponse,
        registry::CallRegistry,
        stream::ChunkStream,
        timers::TimeLimit,
        usage::UsageAccounting,
    },
    shutdown::Shutdown,
};

/// What a call needs.
#[derive(Debug)]
pub struct Service {
    /// Where answers come from.
    pub(crate) failover: Arc<Failover>,
    /// What requests are checked against.
    pub(crate) rules: Rules,
    /// Who may still come in.
    pub(crate) shutdown: Shutdown,
    /// How much of it.
    pub(crate) admission: AdmissionControl,
    /// What becomes of calls whose callers leave.
    pub(crate) abandoned: AbandonedCalls,
    /// All running streams.
    pub(crate) registry: CallRegistry,
    /// What was said.
    pub(crate) conversations: Conversations,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

impl Service {
    async fn start(
        &self,
        client: ClientId,
        mut request: GenerateRequest,
        deadline: Option<Deadline>,
        generation_id: GenerationId,
    ) -> Result<ChunkStream, Error> {
        let began = Instant::now();
        let mut turn = self.conversations.begin(&mut request).await?;
        let (mut checked, serving) = request::check(request, &self.rules)?;
        if let Some(turn) = &mut turn {
            checked.request.after_history(turn.take_history());
        }
        let in_flight = self.shutdown.enter()?;
        let time_limit = TimeLimit::new(began, serving.timeouts.total, deadline);
        let max_tokens = checked.request.get().inference_config.as_ref().and_then(|config| config.max_tokens);
        let max_tokens = max_tokens.and_then(|tokens| u32::try_from(tokens).ok());
        let Permit { places, reservation } = self.admission.admit(client, &checked.asked, max_tokens).await?;
        let generation_id = generation_id.as_str().to_owned();
        let accounting = UsageAccounting::open(generation_id.clone(), reservation, self.metrics.clone());
        let attempts = AttemptLog::default();
        let response = Arc::clone(&self.failover).generate(checked, serving.timeouts, generation_id, attempts.clone());
        let call = Call::new(CallParts {
            response: PendingResponse::new(response),
            attempts,
            time_limit,
            heartbeat: serving.heartbeat,
            abandonment: serving.abandonment,
            turn,
            held: Held { accounting, _permits: places, in_flight },
        });
        Ok(ChunkStream::new(call, self.abandoned.clone(), &self.registry))
    }

    async fn count(&self, client: &ClientId, request: CountTokensRequest) -> Result<CountTokensResponse, Error> {
        let call = request::check_count(request, &self.rules)?;
        let in_flight = self.shutdown.enter()?;
        self.admission.admit_unary(client)?;
        let counted = self.failover.count_tokens(call, self.rules.timeouts.default);
        in_flight.unless_revoked(Box::pin(counted)).await
    }

    /// What is made of the result of a method that answers at once.
    fn answered<T>(&self, result: Result<T, Error>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|error| self.refused(error))
    }

    /// The one place where a call that never became a stream is logged, counted and given its status.
    fn refused(&self, error: Error) -> Status {
        warn!(error = %error.for_log(), "refused");
        self.metrics.refused(error.reason());
        error.into_status()
    }
}

#[tonic::async_trait]
impl GenerationService for Service {
    type GenerateStream = ChunkStream;

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<ChunkStream>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let generation_id = GenerationId::of(request.extensions());
        let client = ClientId::of(&request);
        let admitted = self.start(client, request.into_inner(), deadline, generation_id).await;
        let mut stream = admitted.map_err(|error| self.refused(error))?;
        stream.first_chunk().await.map_err(Error::into_status)?;
        Ok(Response::new(stream))
    }

    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        let client = ClientId::of(&request);
        self.answered(self.count(&client, request.into_inner()).await)
    }

    async fn list_models(&self, _: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        Ok(Response::new(ListModelsResponse { models: self.rules.models() }))
    }

    async fn create_conversation(
        &self,
        request: Request<CreateConversationRequest>,
    ) -> Result<Response<CreateConversationResponse>, Status> {
        let created = async {
            let request = request::check_conversation(request.into_inner())?;
            let conversation = self.conversations.create(request).await?;
            Ok(CreateConversationResponse { conversation: Some(conversation) })
        };
        self.answered(created.await)
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        self.answered(self.conversations.get(&request.into_inner()).await)
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let listed = async {
            let ListConversationsRequest { page_size, page_token } = request::check_page(request.into_inner())?;
            self.conversations.list(page_size, &page_token).await
        };
        self.answered(listed.await)
    }

    async fn delete_conversation(
        &self,
        request: Request<DeleteConversationRequest>,
    ) -> Result<Response<DeleteConversationResponse>, Status> {
        let deleted = self.conversations.delete(&request.into_inner().conversation_id).await;
        self.answered(deleted.map(|()| DeleteConversationResponse {}))
    }
}
