//! The contract for the server: the messages of `outcrop-contract`, and the service trait that [`crate::service`] implements.

pub use outcrop_contract::{FILE_DESCRIPTOR_SET, v1::*};

pub use self::{codec::Codec, generated::generation_service_server};

mod codec;

mod generated {
    #![expect(
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the comments of the proto files become the docs"
    )]

    tonic::include_proto!("outcrop.v1");
}
