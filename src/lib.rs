//! Outcrop: one typed, server-streaming `Generate` in front of Amazon Bedrock.
//!
//! # Layout, in the order in which a request meets it
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | command line and environment -> settings, all problems at once |
//! | [`telemetry`] | log lines on standard error |
//! | [`app`] | settings -> a server that listens, runs and drains |
//! | `page` | the web page, and gRPC-Web for its calls |
//! | `front` | refuses what is no call to one of our methods; gives gRPC's own refusals a reason |
//! | [`service`] | the methods: validate -> admit -> make attempts -> return the stream |
//! | [`request`] | the request, checked, in another type |
//! | [`clocks`] | how long the parts of a call may take |
//! | [`shutdown`] | who is still served while the server ends |
//! | [`caller`] | who calls |
//! | [`limits`] | how much of it: places among the streams, rates, tokens |
//! | `dispatch` | attempts, until one brings content |
//! | [`attempts`] | where and when an attempt is made: routes, waits, budget, breakers |
//! | [`bedrock`] | everything that knows AWS: request -> SDK, body -> frames, failure -> error |
//! | `event` | upstream event -> chunk, and the state machine that demands the end |
//! | `reading` | an answer as it comes in |
//! | [`stream`] | what tonic polls; it owns all that a call holds |
//! | [`conversation`] | what was said, kept from one turn to the next |
//! | [`abandoned`] | calls whose callers have left |
//! | `account` | the books of a stream; [`metrics`] what is counted |
//! | [`error`] | what went wrong, as data, and the one place that makes a status of it |
//! | [`proto`] | the contract, generated; its messages are the types used throughout |
//!
//! [`demo`] runs the server, the emulator and the client in one process. ARCHITECTURE.md tells the life of a request.

pub mod abandoned;
mod account;
pub mod app;
pub mod attempts;
pub mod bedrock;
pub mod caller;
pub mod clocks;
pub mod config;
pub mod conversation;
pub mod demo;
mod dispatch;
pub mod error;
mod event;
mod front;
mod json;
pub mod limits;
pub mod metrics;
mod page;
pub mod proto;
mod reading;
pub mod request;
pub mod service;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
