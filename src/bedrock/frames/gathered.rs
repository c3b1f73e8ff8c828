//! Frames that are left unread, gathered while more of them are there, so that they go on together and are written once.
//!
//! A body over HTTP/1 hands over one piece at a time, and has the next one only after its connection was polled. So a task that has a piece
//! lets the others run before it goes on ([`crate::interlude`]). A stream with pauses between its frames hardly ever does so.

use std::task::Context;

use bytes::{Bytes, BytesMut};

use super::Frame;
use crate::interlude::Interlude;

/// Frames of so many bytes go on without looking for more.
const ENOUGH: usize = 16 << 10;

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The types of events that are left unread.
    types: &'static [&'static str],
    /// The first piece, or all if there are more.
    bytes: Bytes,
    joined: BytesMut,
    frames: u32,
    pieces: usize,
    interlude: Interlude,
}

impl Gathered {
    /// Events of these types are left unread from now on.
    pub(super) fn leave(&mut self, types: &'static [&'static str]) {
        self.types = types;
    }

    /// The types of events that are left unread.
    pub(super) fn types(&self) -> &'static [&'static str] {
        self.types
    }

    /// Adds frames.
    pub(super) fn add(&mut self, bytes: Bytes, frames: u32) {
        if self.pieces == 0 {
            self.bytes = bytes;
        } else {
            if self.joined.is_empty() {
                self.joined.reserve(ENOUGH);
                self.joined.extend_from_slice(&std::mem::take(&mut self.bytes));
            }
            self.joined.extend_from_slice(&bytes);
        }
        self.frames += frames;
        self.pieces += 1;
    }

    /// Whether there is so much that it goes on.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes.len().max(self.joined.len()) >= ENOUGH
    }

    /// Whether to wait for more when nothing is there. The task is woken then, after others have run.
    pub(super) fn waits(&mut self, cx: &Context<'_>) -> bool {
        self.pieces > 0 && self.interlude.waits(cx, self.pieces)
    }

    /// Takes what was gathered, if anything was.
    pub(super) fn take(&mut self) -> Option<Frame> {
        if self.pieces == 0 {
            return None;
        }
        let joined = self.joined.split().freeze();
        let first = std::mem::take(&mut self.bytes);
        let bytes = if self.pieces == 1 { first } else { joined };
        self.pieces = 0;
        self.interlude.end();
        Some(Frame::Unread { bytes, count: std::mem::take(&mut self.frames) })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn taken(gathered: &mut Gathered) -> Option<(Bytes, u32)> {
        gathered.take().map(|frame| match frame {
            Frame::Unread { bytes, count } => (bytes, count),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn pieces_that_follow_each_other_are_joined_in_their_order() {
        let (mut gathered, cx) = (Gathered::default(), Context::from_waker(Waker::noop()));
        assert!(!gathered.waits(&cx));
        assert_eq!(taken(&mut gathered), None);
        gathered.add(Bytes::from_static(b"one "), 1);
        assert!(gathered.waits(&cx));
        gathered.add(Bytes::from_static(b"two "), 2);
        gathered.add(Bytes::from_static(b"three"), 1);
        assert_eq!(taken(&mut gathered), Some((Bytes::from_static(b"one two three"), 4)));
        assert_eq!(taken(&mut gathered), None);
        gathered.add(Bytes::from(vec![b'x'; ENOUGH]), 1);
        assert!(gathered.is_enough());
    }
}
