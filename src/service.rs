//! The gRPC methods, thin: validate -> admit -> open upstream -> return the stream. The order is part of the contract.
//!
//! Comes after [`crate::front`] and before [`crate::request`], [`crate::shutdown`], [`crate::bedrock`] and
//! [`crate::stream`], which each do one of these steps.

use tonic::{Request, Response, Status};
use tracing::warn;
use uuid::Uuid;

use crate::{
    bedrock::Bedrock,
    error::Error,
    front::Deadline,
    proto::{CountTokensRequest, CountTokensResponse, GenerateRequest, generation_service_server::GenerationService},
    request,
    shutdown::Drain,
    stream::ChunkStream,
};

/// What a call needs.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where answers come from.
    pub bedrock: Bedrock,
    /// Who may still come in.
    pub drain: Drain,
    /// The model of a request that names none.
    pub default_model: Option<String>,
}

impl Service {
    async fn open(&self, request: GenerateRequest, deadline: Option<Deadline>) -> Result<ChunkStream, Error> {
        let request = request::check(request, self.default_model.as_deref())?;
        let mut admission = self.drain.admit()?;
        // Boxed: the SDK's futures are large, and this one lives in the stack of the connection.
        let upstream = admission.unless_revoked(Box::pin(self.bedrock.open(request))).await?;
        let mut stream = ChunkStream::new(upstream, Uuid::new_v4().to_string(), admission, deadline);
        stream.first_content().await?;
        Ok(stream)
    }

    async fn count(&self, request: CountTokensRequest) -> Result<CountTokensResponse, Error> {
        let request = request::check_count(request, self.default_model.as_deref())?;
        let mut admission = self.drain.admit()?;
        admission.unless_revoked(Box::pin(self.bedrock.count_tokens(request))).await
    }
}

/// The one place where a call that never became a stream is logged and given its status.
fn answered<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| {
        warn!(error = %error.for_log(), "refused");
        error.into_status()
    })
}

#[tonic::async_trait]
impl GenerationService for Service {
    type GenerateStream = ChunkStream;

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<ChunkStream>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        answered(self.open(request.into_inner(), deadline).await)
    }

    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        answered(self.count(request.into_inner()).await)
    }
}
