//! What holds for the chunks of every answer, asserted by property tests and fuzz targets.

use crate::proto::{Chunk, chunk::Event};

/// Looks at the chunks of one answer in their order.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    next: u32,
    finished: bool,
}

impl Invariants {
    /// Looks at the next chunk: `sequence` has no gap, `start` is first and only there, and nothing follows `finish`.
    pub(crate) fn see(&mut self, chunk: &Chunk) {
        assert!(!self.finished, "a chunk after the finish: {chunk:?}");
        assert_eq!(chunk.sequence, Some(self.next), "a gap in the sequence: {chunk:?}");
        assert_eq!(matches!(chunk.event, Some(Event::Start(_))), self.next == 0, "start is the first chunk: {chunk:?}");
        assert!(chunk.event.is_some(), "a chunk without an event: {chunk:?}");
        self.next += 1;
        self.finished = outcrop_contract::is_finish(chunk);
    }

    /// Whether the answer has its finish.
    pub(crate) fn finished(&self) -> bool {
        self.finished
    }
}
