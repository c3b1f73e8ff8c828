//! The stream of chunks. It checks the contract: a gap in `sequence` or a missing `finish` is an error.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use outcrop_contract::{Answer, Collector};
use tokio_stream::{Stream, StreamExt};
use tonic::Streaming;

use crate::{
    error::{CallError, ClientError},
    proto::{Chunk, chunk::Event},
};

/// The chunks of one answer. Dropping them cancels the call.
#[derive(Debug)]
pub struct Chunks {
    inner: Streaming<Chunk>,
    /// What was read before the caller asked for it: the start, and the first content.
    ahead: VecDeque<Chunk>,
    next_sequence: u32,
    finished: bool,
    ended: bool,
}

impl Chunks {
    pub(crate) fn new(inner: Streaming<Chunk>) -> Self {
        Self { inner, ahead: VecDeque::new(), next_sequence: 0, finished: false, ended: false }
    }

    /// Reads to the first content. Heartbeats before it are dropped.
    pub(crate) async fn wait_for_content(&mut self) -> Result<(), ClientError> {
        let mut ahead = VecDeque::new();
        while let Some(chunk) = self.next().await? {
            let is_start = matches!(chunk.event, Some(Event::Start(_)));
            if !matches!(chunk.event, Some(Event::Heartbeat(_))) {
                ahead.push_back(chunk);
                if !is_start {
                    break;
                }
            }
        }
        self.ahead = ahead;
        Ok(())
    }

    /// The next chunk, including heartbeats if the request sets them. `None` after the `finish` and the status OK.
    ///
    /// # Errors
    /// If the call failed, or the server broke the contract.
    pub async fn next(&mut self) -> Result<Option<Chunk>, ClientError> {
        StreamExt::next(self).await.transpose()
    }

    /// Reads to the end and puts the answer together.
    ///
    /// # Errors
    /// As [`Chunks::next`].
    pub async fn answer(mut self) -> Result<Answer, ClientError> {
        let mut collector = Collector::default();
        while let Some(chunk) = self.next().await? {
            collector.add(chunk);
        }
        Ok(collector.into_answer())
    }

    fn check(&mut self, chunk: &Chunk) -> Result<(), ClientError> {
        if matches!(chunk.event, Some(Event::Heartbeat(_))) {
            return Ok(());
        }
        if chunk.sequence() != self.next_sequence {
            let message = format!("chunk {} arrived, and {} was expected", chunk.sequence(), self.next_sequence);
            return Err(ClientError::BrokenContract(message));
        }
        if self.finished {
            return Err(ClientError::BrokenContract("a chunk arrived after the finish".to_owned()));
        }
        self.next_sequence += 1;
        self.finished = matches!(chunk.event, Some(Event::Finish(_)));
        Ok(())
    }
}

impl Stream for Chunks {
    type Item = Result<Chunk, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let result = match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
            Some(Ok(chunk)) => self.check(&chunk).map(|()| chunk),
            Some(Err(status)) => Err(CallError::from(&status).into()),
            None if self.finished => {
                self.ended = true;
                return Poll::Ready(None);
            }
            None => {
                Err(ClientError::BrokenContract("the stream ended without a finish and without an error".to_owned()))
            }
        };
        self.ended = result.is_err();
        Poll::Ready(Some(result))
    }
}
