//! `grpc.testing.TestService`, as the interop client of grpc-go expects it.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName};
use tokio::time::sleep;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};

use crate::trailers::Trailers;
use outcrop_conformance::interop::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
    test_service_server::TestService,
};

/// The header that comes back as a header, and the one that comes back as a trailer.
const ECHOED: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
const ECHOED_LAST: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");

/// The service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interop;

/// A stream of answers.
type Answers = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TestService for Interop {
    async fn empty_call(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty::default()))
    }

    async fn unary_call(&self, request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        asked_for(message.response_status)?;
        let server_id = if message.fill_server_id { "outcrop".to_owned() } else { String::new() };
        let response = SimpleResponse { payload: Some(payload(message.response_size)?), server_id };
        Ok(echoing(metadata, response))
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(outputs(request.into_inner())))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut messages = request.into_inner();
        let mut bytes = 0;
        while let Some(message) = messages.message().await? {
            bytes += message.payload.unwrap_or_default().body.len();
        }
        let aggregated_payload_size = i32::try_from(bytes).unwrap_or(i32::MAX);
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size }))
    }

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (metadata, _, messages) = request.into_parts();
        let answers: Answers = Box::pin(messages.flat_map(|message| match message {
            Ok(message) => outputs(message),
            Err(failed) => Box::pin(stream::iter([Err(failed)])),
        }));
        Ok(echoing(metadata, answers))
    }
}

/// What one request is answered with.
fn outputs(request: StreamingOutputCallRequest) -> Answers {
    if let Err(asked_for) = asked_for(request.response_status) {
        return Box::pin(stream::iter([Err(asked_for)]));
    }
    let parameters: VecDeque<_> = request.response_parameters.into();
    Box::pin(stream::iter(parameters).then(|ResponseParameters { size, interval_us }| async move {
        sleep(Duration::from_micros(interval_us.try_into().unwrap_or_default())).await;
        Ok(StreamingOutputCallResponse { payload: Some(payload(size)?) })
    }))
}

/// The status that a request asks for.
#[expect(clippy::disallowed_methods, reason = "the edge has to give a bare status its reason")]
fn asked_for(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(EchoStatus { code, message }) if code != 0 => Err(Status::new(Code::from(code), message)),
        _ => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge has to give a bare status its reason")]
fn payload(size: i32) -> Result<Payload, Status> {
    let size = usize::try_from(size).map_err(|_| Status::invalid_argument("a payload has no negative size"))?;
    Ok(Payload { body: vec![0; size] })
}

/// The response with the headers and trailers that the request wants back.
fn echoing<T>(metadata: MetadataMap, message: T) -> Response<T> {
    let headers = metadata.into_headers();
    let only = |name: HeaderName| {
        let values = headers.get_all(&name).iter().map(|value| (name.clone(), value.clone()));
        values.collect::<HeaderMap>()
    };
    let mut response = Response::new(message);
    *response.metadata_mut() = MetadataMap::from_headers(only(ECHOED));
    response.extensions_mut().insert(Trailers(only(ECHOED_LAST)));
    response
}
