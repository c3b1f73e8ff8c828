//! End to end over loopback: emulator -> AWS SDK -> server -> client library, one module a behaviour.
//!
//! `harness` starts everything on free ports; no test waits for a time to pass where it can wait for an event.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on standard output what it skipped"
)]

mod account_models;
mod aliases;
mod audit;
mod backpressure;
mod bad_input;
mod binary;
mod budgets;
mod callers;
mod cancellation;
mod chaos;
mod config;
mod connect;
mod connections;
mod conversations;
mod deadline;
mod descriptors;
mod drain;
mod error_table;
mod events;
mod failover;
mod failures;
mod fidelity;
mod front;
mod gates;
mod grpc;
mod harness;
mod heartbeats;
mod http1_endings;
mod http2_endings;
mod http2_frames;
mod hung_store;
mod identity;
mod json_text;
mod limits;
mod load;
mod log;
mod metrics;
mod native;
mod nginx;
mod not_reading;
mod open_connections;
mod order_of_checks;
mod overload;
mod page;
mod process;
mod quotas;
mod recordings;
mod redis;
mod request_memory;
mod retries;
mod round_trip;
mod secrets;
mod session;
mod soak;
mod store_files;
mod stores;
mod telemetry;
mod tenants;
mod text;
mod timeouts;
mod tls;
mod tokens;
mod turns;
mod ungated;
mod upstream_bodies;
mod whole_message;
