//! Tests of shares.
//!
//! - `ledger` the rules, one after the other; `script` the same in a real Redis, which servers share in `shared`; `server` one of them
//! - `simulation` many servers, with a `network` that fails, and what must hold of their `world`
//! - `history` what a checker of linearizability is told; `broken` tables that both must find

mod broken;
mod history;
mod ledger;
mod network;
mod script;
mod server;
mod shared;
mod simulation;
mod world;

use std::sync::Arc;

use super::table::Request;

/// A request of a server that wants nothing.
fn request(sequence: u64, capacity: u64) -> Request {
    Request {
        resource: Arc::from("tokens"),
        sequence,
        capacity,
        held: 0,
        in_use: 0,
        wanted: 0,
        spent: 0,
        confirmed: 0,
        born: 0,
        lasts: None,
        leaving: false,
    }
}
