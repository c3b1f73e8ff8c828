//! What stands between the socket and a method.
//!
//! - [`server`] a listener and its connections; `slots` how many may be open, [`descriptors`] how many the process can open
//! - [`connection`] one connection: timeouts, keepalive, GOAWAY
//! - [`web`] the page, and gRPC-Web for its calls
//! - [`gates`] the checks that every method of the generation service passes
//! - [`ending`] ends streams of health and reflection at a shutdown
//! - [`grpc`] refuses unknown methods, enforces the caller's deadline, and gives every status a reason
//! - [`health`] the health service, with services that this server does not have
//! - [`host`] refuses pages of other origins, and names that this server does not have
//! - [`message`] receives the message of a call within its time, the memory for requests and the maxima of the contract
//! - [`protocol`] tells gRPC, gRPC-Web and plain HTTP apart

pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod ending;
pub(crate) mod gates;
pub(crate) mod grpc;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod message;
pub(crate) mod protocol;
pub(crate) mod server;
mod slots;
pub(crate) mod web;
