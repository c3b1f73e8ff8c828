//! The layers between the socket and a method.
//!
//! - [`authentication`] decides who makes a call
//! - [`bedrock_api`] marks and refuses requests of the Bedrock API
//! - [`server`] a listener and its connections; `slots` limits them; [`descriptors`] has the limit of open files
//! - [`connection`] one connection: timeouts, keepalive, GOAWAY
//! - [`web`] the page, and gRPC-Web for its calls; [`session`] its sign-in
//! - [`connect`] calls as JSON, without frames
//! - [`gates`] the checks that every method of the generation service passes
//! - [`grpc`] refuses unknown methods, enforces the caller's deadline, and gives every status a reason
//! - [`health`] the health service, also for unknown services
//! - [`host`] refuses pages of other origins, and host names that are not the server's
//! - [`message`] receives the message of a call within its timeout, the memory for requests and the maxima of the contract
//! - [`probes`] the probes of load balancers, on the port for metrics
//! - [`protocol`] distinguishes gRPC, gRPC-Web and plain HTTP
//! - [`tls`] encryption, and the certificates of clients
//! - [`ungated`] bounds the requests to health and reflection, and ends their streams at a shutdown

pub(crate) mod authentication;
pub(crate) mod bedrock_api;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod gates;
pub(crate) mod grpc;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod message;
pub(crate) mod probes;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod session;
mod slots;
pub(crate) mod tls;
pub(crate) mod ungated;
pub(crate) mod web;
