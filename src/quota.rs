//! The quotas of Amazon Bedrock: what a call reserves before it is sent, who waits for it, and what it has cost.
//!
//! [`crate::failover`] reserves at a target before each attempt, and [`crate::response::reader`] settles when the answer ends.
//!
//! - `slots` the shares of several servers
//! - [`settings`] quotas, prices and budgets as they are configured

pub mod settings;
#[expect(dead_code, reason = "the server does not run them yet")]
pub(crate) mod slots;
