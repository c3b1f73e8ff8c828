//! Generates the server's side of the service, whose messages are those of `outcrop-contract`, and the list of the files of the page.
//!
//! protox compiles the contract in Rust, so protoc need not be installed.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

use flate2::{Compression, GzBuilder};

/// The page as it was built.
const PAGE: &str = "web/dist";

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["outcrop/v1/generation_service.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .build_client(false)
        .extern_path(".outcrop.v1", "::outcrop_contract::v1")
        .codec_path("crate::proto::Codec")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    page()
}

/// Writes `page_files.rs`: the path, the content type, the content and the compressed content of every file of the page.
fn page() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PAGE}");
    let mut names = Vec::new();
    for entry in fs::read_dir(PAGE)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{PAGE}/{} is not UTF-8", name.display()))?);
    }
    names.sort_unstable();
    let folder = env::var("OUT_DIR")?;
    let mut list = String::from("[");
    for name in names {
        let path = if name == "index.html" { "" } else { name.as_str() };
        let content = format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{PAGE}/{name}\"))");
        let plain = fs::read(Path::new(PAGE).join(&name))?;
        let smaller = gzip(&plain)?;
        // Pictures are compressed already.
        let compressed = if smaller.len() < plain.len() / 10 * 9 {
            fs::write(Path::new(&folder).join(format!("{name}.gz")), smaller)?;
            format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")))")
        } else {
            String::from("None")
        };
        writeln!(list, "({:?}, {:?}, {content}, {compressed}),", format!("/{path}"), content_type(&name)?)?;
    }
    list.push(']');
    Ok(fs::write(Path::new(&folder).join("page_files.rs"), list)?)
}

/// The same bytes make the same bytes: there is no time in them.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
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
