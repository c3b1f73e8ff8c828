//! What the layers must know of requests of the Bedrock API, whose operations are in [`crate::front`].
//!
//! - [`call`] reads the operation and the model from a path, and marks the request
//! - [`refusal`] an error in the shape of AWS

pub(crate) mod call;
pub(crate) mod refusal;
