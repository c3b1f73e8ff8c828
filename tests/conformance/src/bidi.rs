//! `BidiStream`: answers after all messages, or after each.

use std::{mem::take, pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use prost_types::Any;
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming};

use crate::definition::{answer, any, seen, status};
use outcrop_conformance::connect::{
    BidiStreamRequest, BidiStreamResponse, ConformancePayload, StreamResponseDefinition,
    conformance_payload::RequestInfo,
};

/// The type of the messages.
const REQUEST: &str = "BidiStreamRequest";

/// A running call.
#[derive(Debug)]
pub(crate) struct Bidi {
    messages: Streaming<BidiStreamRequest>,
    /// What was seen of the call, for the first answer.
    info: RequestInfo,
    definition: StreamResponseDefinition,
    full_duplex: bool,
    /// The messages since the last answer.
    since: Vec<Any>,
    sent: usize,
    all_read: bool,
    ended: bool,
}

impl Bidi {
    /// The answer to a call. Its headers need the first message.
    pub(crate) async fn answer(
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<BidiStreamResponse, Status>> + Send>>>, Status> {
        let info = seen(&request);
        let mut messages = request.into_inner();
        let first = messages.message().await?;
        let all_read = first.is_none();
        let since = first.iter().map(|message| any(REQUEST, message)).collect();
        let BidiStreamRequest { response_definition, full_duplex, .. } = first.unwrap_or_default();
        let definition = response_definition.unwrap_or_default();
        let (headers, trailers) = (definition.response_headers.clone(), definition.response_trailers.clone());
        let mut call = Self { messages, info, definition, full_duplex, since, sent: 0, all_read, ended: false };
        if !full_duplex {
            call.read_all().await?;
        }
        let answers = stream::unfold(call, |mut call| async move {
            let next = call.next().await?;
            Some((next, call))
        });
        Ok(answer(Box::pin(answers), &headers, &trailers))
    }

    async fn read_all(&mut self) -> Result<(), Status> {
        while !self.all_read {
            self.read_one().await?;
        }
        Ok(())
    }

    async fn read_one(&mut self) -> Result<(), Status> {
        match self.messages.message().await? {
            Some(message) => self.since.push(any(REQUEST, &message)),
            None => self.all_read = true,
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<BidiStreamResponse, Status>> {
        if self.ended {
            return None;
        }
        if self.full_duplex
            && self.since.is_empty()
            && !self.all_read
            && let Err(failed) = self.read_one().await
        {
            self.ended = true;
            return Some(Err(failed));
        }
        let requests = take(&mut self.since);
        let is_first = self.sent == 0;
        let info = match requests {
            requests if is_first => Some(RequestInfo { requests, ..take(&mut self.info) }),
            requests if requests.is_empty() => None,
            requests => Some(RequestInfo { requests, ..RequestInfo::default() }),
        };
        if let Some(data) = self.definition.response_data.get_mut(self.sent).map(take) {
            self.sent += 1;
            sleep(Duration::from_millis(self.definition.response_delay_ms.into())).await;
            let payload = ConformancePayload { data, request_info: info };
            return Some(Ok(BidiStreamResponse { payload: Some(payload) }));
        }
        self.ended = true;
        let error = self.definition.error.take()?;
        Some(Err(status(error, info.filter(|_| is_first).as_ref(), http::HeaderMap::new())))
    }
}
