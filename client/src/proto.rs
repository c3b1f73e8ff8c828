//! The contract, generated from `proto/outcrop/v1`.

#![expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::disallowed_methods,
    reason = "generated; the comments of the proto files become the docs"
)]

tonic::include_proto!("outcrop.v1");

/// The descriptors of the contract and of all it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/outcrop.v1.binpb"));
