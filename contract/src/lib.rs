//! The contract of Outcrop, for the server, its client and other programs.
//!
//! # Layout
//!
//! - [`v1`] the messages, generated from `proto/outcrop/v1`
//! - [`FILE_DESCRIPTOR_SET`] their descriptors, for reflection and for JSON
//! - [`Collector`] puts an [`Answer`] together from its chunks
//! - [`json`] free JSON as text and as protobuf's well-known types
//! - [`is_finish`] whether a chunk is the last of its answer

mod answer;
pub mod json;
mod tool_json;
pub mod v1;

pub use self::answer::{Answer, Collector};

/// The descriptors of the contract and of all it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/outcrop.v1.binpb"));

/// Whether a chunk is the last of its answer.
pub fn is_finish(chunk: &v1::Chunk) -> bool {
    matches!(chunk.event, Some(v1::chunk::Event::Finish(_)))
}
