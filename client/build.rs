//! Compiles the contract: messages, the caller's side of the service, and the descriptor set for JSON.
//!
//! protox does it in Rust, so nobody has to install protoc. `src/proto.rs` takes in what comes out.

use std::{env, error::Error, fs, path::PathBuf};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["outcrop/v1/generation_service.proto"], ["../proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    fs::write(out.join("outcrop.v1.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .build_server(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../proto");
    Ok(())
}
