//! What an answer consists of on its way to the caller: chunks of the contract, or the bytes of Bedrock as they are.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

use crate::proto::Chunk;

/// The `sequence` of the first content, after `start`.
const FIRST_CONTENT: u32 = 1;

/// A piece of an answer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a chunk is moved once, and a box would cost an allocation a chunk")]
pub(crate) enum Piece {
    /// A chunk. Of an answer that is relayed there is only the `finish`, which says that the answer is complete.
    Chunk(Chunk),
    /// Bytes of Bedrock.
    Relayed(Part),
}

/// A part of an answer that is relayed.
#[derive(Debug)]
pub(crate) struct Part {
    /// The headers of Bedrock's answer, with its first part.
    pub(crate) head: Option<Box<HeaderMap>>,
    pub(crate) bytes: Bytes,
}

impl Piece {
    /// Whether content was sent before it.
    pub(crate) fn follows_content(&self) -> bool {
        match self {
            Self::Chunk(chunk) => chunk.sequence > Some(FIRST_CONTENT),
            Self::Relayed(part) => part.head.is_none(),
        }
    }
}

/// The frames of an answer that is relayed.
#[derive(Debug)]
pub(crate) struct Relay {
    head: Option<Box<HeaderMap>>,
    /// Frames before the first content. If the attempt fails, they are dropped, and another one follows.
    held: Vec<Bytes>,
    ready: VecDeque<Bytes>,
}

impl Relay {
    /// An answer with these headers.
    pub(crate) fn new(head: HeaderMap) -> Self {
        Self { head: Some(Box::new(head)), held: Vec::new(), ready: VecDeque::new() }
    }

    /// Adds a frame. It can be sent once there is content.
    pub(crate) fn add(&mut self, frame: Bytes, has_content: bool) {
        self.held.push(frame);
        if has_content {
            self.release();
        }
    }

    /// What is held can be sent.
    pub(crate) fn release(&mut self) {
        self.ready.extend(self.held.drain(..));
    }

    /// Drops what was not sent.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.ready.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next part.
    pub(crate) fn next(&mut self) -> Option<Part> {
        let bytes = self.ready.pop_front()?;
        Some(Part { head: self.head.take(), bytes })
    }
}
