//! Tests of the program, which runs as a process of its own.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod chat;
mod cli;
mod commands;
mod credentials;
mod failures;
mod harness;
mod prompt;
mod pseudo;
mod terminal;
mod tls;
