//! The contract for a client: the messages of `outcrop-contract`, and the generated stub that [`crate::Client`] uses.

pub use outcrop_contract::{FILE_DESCRIPTOR_SET, v1::*};

pub use self::generated::generation_service_client;

mod generated {
    #![expect(
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        clippy::disallowed_methods,
        reason = "generated; the comments of the proto files become the docs"
    )]

    tonic::include_proto!("outcrop.v1");
}
