//! Tests of the program, which runs as a process of its own.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod broken;
mod chat;
mod cli;
mod commands;
mod credentials;
mod failures;
mod harness;
mod library;
mod profiles;
mod prompt;
mod pseudo;
mod recordings;
mod screen;
mod terminal;
mod tls;
