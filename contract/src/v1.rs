//! The messages of the contract, generated from `proto/outcrop/v1`. The server and the client work with these types directly.

#![expect(clippy::pedantic, reason = "generated; the comments of the proto files become the docs")]

include!(concat!(env!("OUT_DIR"), "/outcrop.v1.rs"));
