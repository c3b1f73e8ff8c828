//! Generates the server's side of the service for the bridges. Its messages are those of `outcrop-contract`.
//!
//! protox compiles the contract in Rust, so protoc need not be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["outcrop/v1/generation_service.proto"], ["../proto"])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .build_client(false)
        .extern_path(".outcrop.v1", "::outcrop_contract::v1")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../proto");
    Ok(())
}
