//! What the callers that use a server could use of their limits there. [`super::shared_limits`] claims it.

use std::sync::Arc;

/// What a caller could use of a limit at this server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) caller: Arc<str>,
    /// The limit, of all servers.
    pub(super) capacity: u64,
    pub(super) in_use: u64,
    pub(super) wanted: u64,
}
