//! Outcrop: one typed, server-streaming `Generate` in front of Amazon Bedrock.
//!
//! # Layout, in the order in which a request meets it
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | command line, environment and configuration file -> settings, all problems at once |
//! | [`telemetry`] | log lines on standard error, and the record of each call |
//! | [`app`] | settings -> a server that listens, runs and shuts down |
//! | `edge` | what stands between the socket and a method: connections, the page, gRPC-Web, the gates of every method, its message |
//! | `front` | the Bedrock Runtime API, for callers with an AWS SDK |
//! | `in_force` | the models and limits that a reload replaces together with the callers |
//! | [`audit`] | a line for every call |
//! | [`service`] | the methods: validate -> admit -> attempt -> return the stream |
//! | [`identity`] | who makes a call, and what it may do |
//! | [`request`] | the request, checked, in another type; its timeouts |
//! | `cores` | the threads on which connections and streams run |
//! | [`shutdown`] | graceful shutdown: who is still served while the server ends |
//! | [`admission`] | admission control: concurrency limits, rate limits, clients |
//! | [`quota`] | the quotas of Bedrock: what a call reserves before it is sent, and what it has cost |
//! | [`failover`] | attempts until one brings content: retries, backoff, circuit breakers, routes |
//! | [`bedrock`] | everything that knows AWS: request -> SDK, body -> frames, failure -> error |
//! | `redis` | the connection to Redis or Valkey that servers share |
//! | `outbound` | outgoing TCP connections, through a proxy if there is one |
//! | `event` | upstream event -> chunk, and the state machine that demands the end |
//! | [`response`] | an answer on its way to the caller: reader, call, stream, registry, usage accounting |
//! | [`conversation`] | what was said, kept from one turn to the next |
//! | `outcome` | what became of a call |
//! | [`metrics`] | what is counted |
//! | [`error`] | what went wrong, as data, and the one place that makes a status of it |
//! | [`proto`] | the contract: its messages are the types used throughout |
//!
//! `digest` is SHA-256, `woken` a waker that remembers that it was woken, `interlude` lets other tasks run before bytes are written. `fuzzing`, `microbenchmarks` and `simulation` are for fuzz targets, benchmarks and tests alone.
//!
//! [`commands`] are the commands besides `serve`: `demo` runs the server, the emulator and the client in one process. ARCHITECTURE.md tells the life of a request.

pub mod admission;
pub mod app;
pub mod audit;
pub mod bedrock;
pub mod commands;
pub mod config;
pub mod conversation;
mod cores;
mod digest;
mod edge;
pub mod error;
mod event;
pub mod failover;
mod front;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
mod in_force;
mod interlude;
pub mod metrics;
#[cfg(any(feature = "microbenchmarks", test))]
#[doc(hidden)]
pub mod microbenchmarks;
mod outbound;
mod outcome;
pub mod proto;
pub mod quota;
mod redis;
pub mod request;
pub mod response;
pub mod service;
pub mod shutdown;
#[cfg(test)]
mod simulation;
pub mod telemetry;
mod woken;

// Free JSON is everywhere in the contract, so its conversions live there.
use outcrop_contract::json;
