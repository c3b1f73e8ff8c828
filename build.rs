//! Generates the server's side of the service, whose messages are those of `outcrop-contract`, and the list of the files of the page.
//!
//! protox compiles the contract in Rust, so protoc need not be installed.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

/// The page as it was built.
const PAGE: &str = "web/dist";

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["outcrop/v1/generation_service.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .build_client(false)
        .extern_path(".outcrop.v1", "::outcrop_contract::v1")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    page()
}

/// Writes `page_files.rs`: the path, the content type and the content of every file of the page.
fn page() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PAGE}");
    let mut names = Vec::new();
    for entry in fs::read_dir(PAGE)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{PAGE}/{} is not UTF-8", name.display()))?);
    }
    names.sort_unstable();
    let mut list = String::from("[");
    for name in names {
        let path = if name == "index.html" { "" } else { name.as_str() };
        let content = format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{PAGE}/{name}\"))");
        writeln!(list, "({:?}, {:?}, {content}),", format!("/{path}"), content_type(&name)?)?;
    }
    list.push(']');
    let folder = env::var("OUT_DIR")?;
    Ok(fs::write(Path::new(&folder).join("page_files.rs"), list)?)
}

fn content_type(name: &str) -> Result<&'static str, String> {
    match name.rsplit('.').next() {
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("png") => Ok("image/png"),
        Some("svg") => Ok("image/svg+xml"),
        Some("webmanifest") => Ok("application/manifest+json"),
        Some("woff2") => Ok("font/woff2"),
        _ => Err(format!("{PAGE}/{name} has no content type: add one to build.rs")),
    }
}
