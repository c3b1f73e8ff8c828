//! What an answer consists of on its way to the caller: chunks of the contract, or the bytes of Bedrock as they are.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

use crate::proto::Chunk;

/// The `sequence` of the first content, after `start`.
const FIRST_CONTENT: u32 = 1;

/// A piece of an answer.
#[derive(Debug)]
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
    /// The number of frames.
    pub(crate) frames: u32,
}

impl Piece {
    /// The number of chunks that it is.
    pub(crate) fn chunks(&self) -> u32 {
        match self {
            Self::Chunk(_) => 1,
            Self::Relayed(part) => part.frames,
        }
    }

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
    ready: VecDeque<Frames>,
}

/// Frames that can be sent.
#[derive(Debug)]
struct Frames {
    bytes: Bytes,
    count: u32,
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
        self.ready.extend(self.held.drain(..).map(|bytes| Frames { bytes, count: 1 }));
    }

    /// Adds frames that follow the first content.
    pub(crate) fn pass_on(&mut self, bytes: Bytes, count: u32) {
        self.ready.push_back(Frames { bytes, count });
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
        let Frames { bytes, count: frames } = self.ready.pop_front()?;
        Some(Part { head: self.head.take(), bytes, frames })
    }
}
