//! Frames that are left unread, gathered while more of them are there, so that they go on together and are written once.
//!
//! A body over HTTP/1 hands over one piece at a time, and has the next one only after its connection was polled. So a task that has a piece
//! lets the others run once before it goes on, if that has brought more before. A stream with pauses between its frames hardly ever does so.
//! That others have run is known from a waker and not from the next poll, because hyper polls a body again at once.

use std::{pin::pin, task::Context};

use bytes::{Bytes, BytesMut};
use tokio::task::yield_now;

use super::Frame;
use crate::woken::Woken;

/// Frames of so many bytes go on without looking for more.
const ENOUGH: usize = 16 << 10;

/// After a piece that nothing followed at once, so many pieces go on without looking for more.
const UNFOLLOWED: u32 = 64;

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The first piece, or all if there are more.
    bytes: Bytes,
    joined: BytesMut,
    frames: u32,
    pieces: u32,
    /// Whether the task lets others run, and nothing has come since.
    looks: bool,
    /// Whether they have run. Made when it is first needed.
    others_ran: Option<Woken>,
    /// The number of pieces that go on without looking for more.
    skipped: u32,
}

impl Gathered {
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
        self.looks = false;
    }

    /// Whether there is so much that it goes on.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes.len().max(self.joined.len()) >= ENOUGH
    }

    /// Whether to look for more when nothing is there. The task is woken then, after others have run.
    pub(super) fn looks_for_more(&mut self, cx: &Context<'_>) -> bool {
        if self.pieces == 0 {
            return false;
        }
        let others_ran = self.others_ran.get_or_insert_default();
        if self.looks {
            others_ran.wakes(cx);
            if !others_ran.is_woken() {
                return true;
            }
            self.looks = false;
            if self.pieces == 1 {
                self.skipped = UNFOLLOWED;
            }
            return false;
        }
        if self.pieces == 1 && self.skipped > 0 {
            self.skipped -= 1;
            return false;
        }
        self.looks = true;
        others_ran.wakes(cx);
        others_ran.forget();
        // Wakes the task after the others.
        pin!(yield_now()).poll(&mut Context::from_waker(others_ran.waker())).is_pending()
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
        self.looks = false;
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
        assert!(!gathered.looks_for_more(&cx));
        assert_eq!(taken(&mut gathered), None);
        gathered.add(Bytes::from_static(b"one "), 1);
        assert!(gathered.looks_for_more(&cx));
        gathered.add(Bytes::from_static(b"two "), 2);
        assert!(gathered.looks_for_more(&cx));
        gathered.add(Bytes::from_static(b"three"), 1);
        assert!(gathered.looks_for_more(&cx));
        assert!(!gathered.looks_for_more(&cx), "nothing came");
        assert_eq!(taken(&mut gathered), Some((Bytes::from_static(b"one two three"), 4)));
        assert_eq!(taken(&mut gathered), None);
        gathered.add(Bytes::from(vec![b'x'; ENOUGH]), 1);
        assert!(gathered.is_enough());
    }

    #[test]
    fn a_stream_whose_pieces_come_alone_seldom_looks_for_more() {
        let (mut gathered, cx) = (Gathered::default(), Context::from_waker(Waker::noop()));
        let mut looked = 0;
        for _ in 0..=UNFOLLOWED * 2 {
            gathered.add(Bytes::from_static(b"x"), 1);
            while gathered.looks_for_more(&cx) {
                looked += 1;
            }
            assert_eq!(taken(&mut gathered), Some((Bytes::from_static(b"x"), 1)));
        }
        assert_eq!(looked, 2);
    }
}
