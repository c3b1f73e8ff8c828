//! The gRPC methods, thin: validate -> admit -> make attempts -> return the stream. The order is part of the contract.
//!
//! - `begin` the steps of a call before its first attempt
//! - `relayed` what the Bedrock API asks for besides answers
//! - `models` what ListModels lists; `quotas` what ListQuotas lists

mod begin;
pub(crate) mod models;
pub(crate) mod quotas;
mod relayed;

use std::sync::Arc;

use tokio::time::Instant;
use tonic::{Request, Response, Status};

use self::{
    begin::{Begun, Wanted},
    models::AccountModels,
    quotas::Quotas,
};
use crate::{
    admission::{AdmissionControl, Permit},
    conversation::{self, Conversations},
    edge::gates::Admitted,
    error::Error,
    failover::{Failover, Generation, attempt_log::AttemptLog},
    identity::{Identity, directory::Directory},
    metrics::Metrics,
    proto::{
        CountTokensRequest, CountTokensResponse, CreateConversationRequest, CreateConversationResponse,
        DeleteConversationRequest, DeleteConversationResponse, GenerateRequest, GetConversationRequest,
        GetConversationResponse, ListConversationsRequest, ListConversationsResponse, ListModelsRequest,
        ListModelsResponse, ListQuotasRequest, ListQuotasResponse, generation_service_server::GenerationService,
    },
    request::{self, permitted, relayed::Relayed, timeouts::Deadline},
    response::{
        abandoned::AbandonedCalls,
        call::{Call, CallParts, CallResources},
        pending::PendingResponse,
        registry::CallRegistry,
        stream::{ChunkStream, PieceStream},
        timers::TimeLimit,
        usage::UsageAccounting,
        whole::WholeAnswer,
    },
    shutdown::Shutdown,
    telemetry::{call::CallRecord, observer::request::Asked},
};

/// What a call needs.
#[derive(Debug)]
pub struct Service {
    /// Where answers come from.
    pub(crate) failover: Arc<Failover>,
    /// How much of it.
    pub(crate) admission: AdmissionControl,
    /// How much of all that is used.
    pub(crate) quotas: Quotas,
    /// What becomes of calls whose callers leave.
    pub(crate) abandoned: AbandonedCalls,
    /// All running streams.
    pub(crate) registry: CallRegistry,
    /// What was said.
    pub(crate) conversations: Conversations,
    /// Who may still call.
    pub(crate) directory: Directory,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The models of the AWS account, if the server lists them.
    pub(crate) account: Option<AccountModels>,
}

impl Service {
    /// Begins a call: the steps before its first attempt, and the stream of its answer. If it is relayed, its body and its answer stay as they are.
    pub(crate) async fn start(
        &self,
        admitted: Admitted,
        request: GenerateRequest,
        relayed: Option<Relayed>,
        deadline: Option<Deadline>,
    ) -> Result<PieceStream, Error> {
        let Admitted { identity, record, in_flight, memory } = admitted;
        let rules = &identity.in_force().rules;
        let time_limit = TimeLimit::new(Instant::now(), request::total_timeout(&request, rules), deadline);
        // The store and the queue may take long. Neither a timeout nor a forced shutdown waits for them.
        let begun = in_flight.unless_revoked(time_limit.run(Box::pin(self.begin(
            &identity,
            &record,
            &memory,
            Wanted { request, relayed: relayed.as_ref() },
        ))));
        let Begun { turn, checked, serving, demand, permit, for_history } = begun.await?;
        let Permit { streams, reservation } = permit;
        let generation_id = record.generation_id().as_str().to_owned();
        let attempts = AttemptLog::of(&record);
        let for_message = checked.request.get().include_message.then(|| memory.another());
        let accounting = UsageAccounting::open(record, reservation, self.metrics.clone());
        let response = Arc::clone(&self.failover).generate(Generation {
            cache_key: cache_key(checked.request.get(), &identity),
            checked,
            relayed,
            timeouts: serving.timeouts,
            id: generation_id,
            log: attempts.clone(),
            demand,
            quotas: Arc::clone(&identity.in_force().quotas),
            memory: Arc::clone(&memory),
        });
        // A turn keeps the caller's messages until it is stored; any other call needs its message until the first content.
        let kept = turn.is_some().then(|| Arc::clone(&memory));
        let response = async move {
            let _until_first_content = (memory, for_history);
            response.await
        };
        let call = Call::new(CallParts {
            response: PendingResponse::new(response),
            attempts,
            time_limit,
            heartbeat: serving.heartbeat,
            abandonment: serving.abandonment,
            whole: WholeAnswer::wanted(turn, for_message),
            resources: CallResources {
                accounting,
                _permits: streams,
                in_flight: Arc::clone(&in_flight),
                _memory: kept,
            },
        });
        let stream = PieceStream::new(call, identity.clone(), self.abandoned.clone(), &self.registry);
        if in_flight.is_revoked() {
            // Running streams were ended before this one was registered.
            stream.end(Shutdown::revocation());
        }
        if self.directory.has_revoked(&identity) {
            stream.end(Directory::revocation());
        }
        Ok(stream)
    }

    async fn count(&self, caller: &Admitted, request: CountTokensRequest) -> Result<CountTokensResponse, Error> {
        let Admitted { identity, record, .. } = caller;
        let rules = &identity.in_force().rules;
        let mut call = request::check_count(request, rules)?;
        record.requested(&call.name, rules.is_configured(&call.name), Asked::TokenCount);
        permitted::check_count(&mut call, identity, self.failover.home())?;
        self.failover.count_tokens(call, rules.timeouts.default, &AttemptLog::of(record)).await
    }

    /// The frame of every method that answers at once: what the gates granted, the work, the status of its error.
    async fn unary<Q, A>(
        &self,
        mut request: Request<Q>,
        work: impl AsyncFnOnce(&Self, &Admitted, Q) -> Result<A, Error>,
    ) -> Result<Response<A>, Status> {
        let admitted = Admitted::take(&mut request).map_err(Error::into_status)?;
        let worked = self.at_once(&admitted, work(self, &admitted, request.into_inner())).await;
        worked.map(Response::new).map_err(Error::into_status)
    }
}

/// The name of the prompt cache of a request, within its tenant.
fn cache_key(request: &GenerateRequest, identity: &Identity) -> Option<String> {
    (!request.cache_key.is_empty()).then(|| format!("{}/{}", identity.tenant(), request.cache_key))
}

/// The status of a call that never became a stream.
fn refused(record: &CallRecord, error: Error) -> Status {
    record.refuse(&error);
    error.into_status()
}

#[tonic::async_trait]
impl GenerationService for Service {
    type GenerateStream = ChunkStream;

    async fn generate(&self, mut request: Request<GenerateRequest>) -> Result<Response<ChunkStream>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let admitted = Admitted::take(&mut request).map_err(Error::into_status)?;
        let record = Arc::clone(&admitted.record);
        let started = self.start(admitted, request.into_inner(), None, deadline).await;
        let mut stream = started.map_err(|error| refused(&record, error))?;
        stream.first_piece().await.map_err(Error::into_status)?;
        Ok(Response::new(stream.into()))
    }

    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        self.unary(request, async |service, admitted, request| service.count(admitted, request).await).await
    }

    async fn list_models(&self, request: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, _| {
            Ok(models::list(identity, service.account.as_ref()).await)
        })
        .await
    }

    async fn list_quotas(&self, request: Request<ListQuotasRequest>) -> Result<Response<ListQuotasResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, _| Ok(service.quotas.list(identity))).await
    }

    async fn create_conversation(
        &self,
        request: Request<CreateConversationRequest>,
    ) -> Result<Response<CreateConversationResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, request| {
            let request = request::check_conversation(request)?;
            if !request.model.is_empty() {
                permitted::check_model(&request.model, identity)?;
            }
            let conversation = service.conversations.of(identity.owner()).create(request).await?;
            Ok(CreateConversationResponse { conversation: Some(conversation) })
        })
        .await
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, request| {
            request::check_page(request.page_size, &request.page_token, conversation::is_turn_token)?;
            service.conversations.of(identity.owner()).get(&request).await
        })
        .await
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, request| {
            let ListConversationsRequest { page_size, page_token } = request;
            request::check_page(page_size, &page_token, conversation::is_list_token)?;
            service.conversations.of(identity.owner()).list(page_size, &page_token).await
        })
        .await
    }

    async fn delete_conversation(
        &self,
        request: Request<DeleteConversationRequest>,
    ) -> Result<Response<DeleteConversationResponse>, Status> {
        self.unary(request, async |service, Admitted { identity, .. }, request| {
            let conversations = service.conversations.of(identity.owner());
            conversations.delete(&request.conversation_id).await.map(|()| DeleteConversationResponse {})
        })
        .await
    }
}
