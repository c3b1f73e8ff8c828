//! The Bedrock API of the server, called with the AWS SDK.
//!
//! - `answers` whole answers and errors of all four operations
//! - `bytes` frames are Bedrock's, byte for byte
//! - `drain` the graceful shutdown
//! - `encrypted` over TLS
//! - `refusals` bad input, in the shape of AWS
//! - `gates` each operation passes each gate
//! - `routes` so does each route that there is
//! - `memory` the memory of whole answers
//! - `signatures` callers who sign
//! - `caller` the SDK, and plain HTTP

mod answers;
mod bytes;
mod caller;
mod drain;
mod encrypted;
mod gates;
mod memory;
mod refusals;
mod routes;
mod signatures;

pub(crate) use caller::{converse_stream, sdk};
