//! `connectrpc.conformance.v1.ConformanceService`: answers each call with what its request says, and with what was seen of it.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    bidi::Bidi,
    definition::{answer, any, map, seen, status},
};
use outcrop_conformance::connect::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse, ConformancePayload,
    IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
    StreamResponseDefinition, UnaryRequest, UnaryResponse, UnaryResponseDefinition, conformance_payload::RequestInfo,
    conformance_service_server::ConformanceService, unary_response_definition::Response as Outcome,
};

/// The service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conformance;

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ConformanceService for Conformance {
    async fn unary(&self, request: Request<UnaryRequest>) -> Result<Response<UnaryResponse>, Status> {
        let mut info = seen(&request);
        let message = request.into_inner();
        info.requests.push(any("UnaryRequest", &message));
        let answer = one(message.response_definition, info).await?;
        Ok(answer.map(|payload| UnaryResponse { payload: Some(payload) }))
    }

    async fn idempotent_unary(
        &self,
        request: Request<IdempotentUnaryRequest>,
    ) -> Result<Response<IdempotentUnaryResponse>, Status> {
        let mut info = seen(&request);
        let message = request.into_inner();
        info.requests.push(any("IdempotentUnaryRequest", &message));
        let answer = one(message.response_definition, info).await?;
        Ok(answer.map(|payload| IdempotentUnaryResponse { payload: Some(payload) }))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<ClientStreamRequest>>,
    ) -> Result<Response<ClientStreamResponse>, Status> {
        let mut info = seen(&request);
        let mut messages = request.into_inner();
        let mut definition = None;
        while let Some(message) = messages.message().await? {
            info.requests.push(any("ClientStreamRequest", &message));
            if info.requests.len() == 1 {
                definition = message.response_definition;
            }
        }
        let answer = one(definition, info).await?;
        Ok(answer.map(|payload| ClientStreamResponse { payload: Some(payload) }))
    }

    async fn server_stream(
        &self,
        request: Request<ServerStreamRequest>,
    ) -> Result<Response<Answers<ServerStreamResponse>>, Status> {
        let mut info = seen(&request);
        let message = request.into_inner();
        info.requests.push(any("ServerStreamRequest", &message));
        let definition = message.response_definition.unwrap_or_default();
        let StreamResponseDefinition { response_headers, response_trailers, .. } = definition.clone();
        Ok(answer(many(definition, info), &response_headers, &response_trailers))
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<Answers<BidiStreamResponse>>, Status> {
        Bidi::answer(request).await
    }
}

/// The one answer that is defined.
async fn one(
    definition: Option<UnaryResponseDefinition>,
    info: RequestInfo,
) -> Result<Response<ConformancePayload>, Status> {
    let UnaryResponseDefinition { response_headers, response, response_trailers, response_delay_ms, .. } =
        definition.unwrap_or_default();
    sleep(Duration::from_millis(response_delay_ms.into())).await;
    let data = match response {
        Some(Outcome::Error(error)) => {
            let mut metadata = map(&response_headers);
            for (name, value) in &map(&response_trailers) {
                metadata.append(name, value.clone());
            }
            return Err(status(error, Some(&info), metadata));
        }
        Some(Outcome::ResponseData(data)) => data,
        None => Vec::new(),
    };
    let payload = ConformancePayload { data, request_info: Some(info) };
    Ok(answer(payload, &response_headers, &response_trailers))
}

/// The answers that are defined, and the error after them.
fn many(definition: StreamResponseDefinition, info: RequestInfo) -> Answers<ServerStreamResponse> {
    let StreamResponseDefinition { response_data, response_delay_ms, error, .. } = definition;
    let alone = response_data.is_empty();
    let error = error.map(|error| Err(status(error, alone.then_some(&info), http::HeaderMap::new())));
    let mut info = Some(info);
    let payloads: Vec<_> =
        response_data.into_iter().map(|data| ConformancePayload { data, request_info: info.take() }).collect();
    let answers = stream::iter(payloads).then(move |payload| async move {
        sleep(Duration::from_millis(response_delay_ms.into())).await;
        Ok(ServerStreamResponse { payload: Some(payload) })
    });
    Box::pin(answers.chain(stream::iter(error)))
}
