//! TLS on the ports of the server: versions of HTTP and of TLS, certificates of clients, files that change.
//!
//! - `authority` certificates and their files
//! - `wire` a client of TLS that does only what a test says
//! - `protocols`, `clients`, `handshakes`, `page`, `reload`, `refused`, `self_signed` the tests

pub(crate) mod authority;
mod clients;
mod handshakes;
mod page;
mod protocols;
mod refused;
mod reload;
mod self_signed;
pub(crate) mod wire;

use crate::{
    harness::{Harness, collect, request, soon},
    tls::authority::Files,
};

/// A server with the certificate in these files, and a client that trusts its authority.
async fn server(files: &Files) -> Harness {
    let ca = files.authority.pem();
    Harness::connecting(|settings| settings.tls = Some(files.settings()), |client| client.trusting(ca.as_bytes())).await
}

async fn is_served(harness: &Harness) {
    soon(collect(soon(harness.client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
}
