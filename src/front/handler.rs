//! The operations of the API, behind the gates.

use std::{pin::Pin, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE, request::Parts};
use std::future::poll_fn;
use tokio_stream::Stream;

use super::{body::RelayedBody, listing, settings};
use crate::{
    edge::{
        bedrock_api::{
            call::{ApiCall, Asked},
            refusal,
        },
        gates::Admitted,
    },
    error::{Error, Reason},
    proto::GenerateRequest,
    request::relayed::{Operation, Relayed},
    response::{
        piece::{Part, Piece},
        stream::PieceStream,
    },
    service::Service,
};

/// The operations that generate an answer.
pub(crate) async fn generate(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = match Admitted::take_from(&mut parts.extensions) {
        Ok(admitted) => admitted,
        Err(error) => return refusal::answer(&error),
    };
    let record = Arc::clone(&admitted.record);
    let answered = Box::pin(answer(&service, admitted, &parts, body)).await;
    answered.unwrap_or_else(|error| {
        record.refuse(&error);
        refusal::answer(&error)
    })
}

/// The operations that are answered at once: the count of tokens, and the listings.
pub(crate) async fn at_once(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = match Admitted::take_from(&mut parts.extensions) {
        Ok(admitted) => admitted,
        Err(error) => return refusal::answer(&error),
    };
    let work = async {
        match parts.extensions.get::<ApiCall>().map(|call| &call.asked) {
            Some(Asked::TokenCount { model }) => {
                let (model, native_body) = (model.clone(), text(body).await?);
                let request = GenerateRequest { model, native_body, ..GenerateRequest::default() };
                service.count_relayed(&admitted, request).await.map(Body::from)
            }
            Some(asked @ (Asked::Models | Asked::Profiles)) => {
                let models = service.models_of(&admitted.identity).await.models;
                let list = if *asked == Asked::Models { listing::models } else { listing::profiles };
                Ok(Body::from(list(&models, service.home()).to_string()))
            }
            _ => Err(Error::new(Reason::Internal, "the request has no operation")),
        }
    };
    match Box::pin(service.at_once(&admitted, work)).await {
        Ok(body) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => refusal::answer(&error),
    }
}

async fn answer(service: &Service, admitted: Admitted, parts: &Parts, body: Body) -> Result<Response, Error> {
    let call = parts.extensions.get::<ApiCall>();
    let Some(ApiCall { asked: Asked::Answer { operation, model }, .. }) = call else {
        return Err(Error::new(Reason::Internal, "the request has no operation"));
    };
    let operation = *operation;
    let mut request =
        GenerateRequest { model: model.clone(), native_body: text(body).await?, ..GenerateRequest::default() };
    if !operation.is_converse() {
        settings::read(&mut request, &parts.headers)?;
    }
    let relayed = Relayed { operation, accept: settings::accept(operation, &parts.headers) };
    let mut pieces = service.start(admitted, request, Some(relayed), None).await?;
    pieces.first_piece().await?;
    let Some(Part { head, bytes, .. }) = next(&mut pieces).await? else {
        return Err(Error::new(Reason::Internal, "the answer has no part"));
    };
    let body = if operation.is_whole() {
        // Its end is proven before the status is sent.
        while next(&mut pieces).await?.is_some() {}
        Body::from(bytes)
    } else {
        Body::new(RelayedBody::new(bytes, pieces, operation))
    };
    Ok(response(head.map(|head| *head).unwrap_or_default(), body, operation))
}

/// The next part of an answer. `None`: it is complete.
async fn next(pieces: &mut PieceStream) -> Result<Option<Part>, Error> {
    match poll_fn(|cx| Pin::new(&mut *pieces).poll_next(cx)).await {
        Some(Ok(Piece::Relayed(part))) => Ok(Some(part)),
        Some(Ok(Piece::Chunk(_))) | None => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

/// The body of a request, which the gates have received.
async fn text(body: Body) -> Result<String, Error> {
    let malformed = |what: &str| Error::new(Reason::MalformedRequest, format!("the body is not {what}"));
    let bytes = to_bytes(body, usize::MAX).await.map_err(|_| malformed("complete"))?;
    String::from_utf8(bytes.into()).map_err(|_| malformed("UTF-8"))
}

fn response(head: HeaderMap, body: Body, operation: Operation) -> Response {
    let mut response = Response::new(body);
    *response.headers_mut() = head;
    let fallback = if operation.is_whole() { "application/json" } else { "application/vnd.amazon.eventstream" };
    response.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(fallback));
    response
}
