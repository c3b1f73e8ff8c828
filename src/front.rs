//! The Bedrock Runtime API of this server, for callers with an AWS SDK. Bodies and frames are relayed as they are, through the same gates,
//! admission, quotas and failover as `Generate`.
//!
//! A request of the API gets the path of the method that it is ([`crate::edge::bedrock_api`]), so that every layer and every permission of that method applies
//! to it. What differs is how its body is received, how it is answered, and how it is refused.
//!
//! - [`layer`] finds the requests of the API
//! - [`handler`] the operations
//! - `listing` the names that a caller may use
//! - [`settings`] what stands in the headers of InvokeModel
//! - [`body`] the frames of an answer on their way
//! - [`exception`] an error after content, as a frame

pub(crate) mod body;
pub(crate) mod exception;
pub(crate) mod handler;
pub(crate) mod layer;
mod listing;
pub(crate) mod settings;
