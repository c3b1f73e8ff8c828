//! Outcrop: one typed, server-streaming `Generate` in front of Amazon Bedrock.
//!
//! # Layout, in the order in which a request meets it
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | command line and environment -> settings, all problems at once |
//! | [`telemetry`] | log lines on standard error |
//! | [`app`] | settings -> a server that listens, runs and drains |
//! | `front` | refuses what is no call to one of our methods; gives gRPC's own refusals a reason |
//! | [`service`] | the methods: validate -> admit -> open upstream -> return the stream |
//! | [`request`] | the request, checked, in another type |
//! | [`shutdown`] | who is still served while the server ends |
//! | [`bedrock`] | everything that knows AWS: request -> SDK, body -> frames, failure -> error |
//! | `event` | upstream event -> chunk, and the state machine that demands the end |
//! | [`stream`] | what tonic polls; it owns all that a call holds |
//! | [`error`] | what went wrong, as data, and the one place that makes a status of it |
//! | [`proto`] | the contract, generated; its messages are the types used throughout |
//!
//! [`demo`] runs the server, the emulator and the client in one process. ARCHITECTURE.md tells the life of a request.

pub mod app;
pub mod bedrock;
pub mod config;
pub mod demo;
pub mod error;
mod event;
mod front;
mod json;
pub mod proto;
pub mod request;
pub mod service;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
