//! The contract, generated from `proto/outcrop/v1`: the messages are also the types that the server works with.
//!
//! Comes before everything: [`crate::service`] implements its service, [`crate::event`] makes its chunks.

#![expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the comments of the proto files become the docs"
)]

tonic::include_proto!("outcrop.v1");

/// The descriptors of the contract and of all it imports, for reflection and for [`crate::front`].
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/outcrop.v1.binpb"));
