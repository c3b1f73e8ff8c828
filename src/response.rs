//! Reads answers and streams them to callers.
//!
//! - [`pending`] the attempts of a call that have no content yet
//! - [`reader`] reads an answer: frames in, chunks out
//! - [`reading`] detects that a caller does not read
//! - [`call`] a running call and its resources
//! - [`stream`] the stream that tonic polls
//! - [`timers`] the time limit and the heartbeat of a call
//! - [`registry`] all running calls, so that the server can end a call that is not polled
//! - [`abandoned`] cancels or drains abandoned calls
//! - [`usage`] the usage accounting of a call
//! - [`whole`] puts an answer together, for the turn of a conversation or for `finish.message`

pub mod abandoned;
pub(crate) mod call;
pub(crate) mod pending;
pub(crate) mod piece;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod registry;
pub mod stream;
pub(crate) mod timers;
pub(crate) mod usage;
pub(crate) mod whole;
