//! An answer on its way to the caller.
//!
//! - [`pending`] the attempts that have not brought content yet
//! - [`reader`] an answer as it arrives: frames in, chunks out
//! - [`reading`] notices a caller who does not read
//! - [`call`] everything that one running call owns
//! - [`stream`] what tonic polls
//! - [`timers`] the time limit and the heartbeat of a call
//! - [`registry`] all running calls, so that the server can end one that is not polled
//! - [`abandoned`] calls whose callers have left
//! - [`usage`] the usage accounting of one call

pub mod abandoned;
pub(crate) mod call;
pub(crate) mod pending;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod registry;
pub mod stream;
pub(crate) mod timers;
pub(crate) mod usage;
