//! The blocks `[[issuer]]`: who issues tokens, and how they are verified.

use std::fs;

use super::{
    section::{Placed, Section},
    syntax,
};

/// The signature algorithms that an issuer can use. Each is made with a private key that only the issuer has.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// An issuer of tokens.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "tokens are verified with these")]
pub(in crate::config) struct IssuerSettings {
    /// The `iss` of its tokens, exactly.
    pub(in crate::config) issuer: String,
    /// A token is for this server if one of these is in its `aud`.
    pub(in crate::config) audiences: Vec<String>,
    /// The algorithms of its signatures.
    pub(in crate::config) algorithms: Vec<String>,
    /// The URL of its keys. `None`: OpenID Connect discovery finds it.
    pub(in crate::config) jwks_uri: Option<String>,
    /// The certificates of authorities to trust in place of those of the system, in PEM.
    pub(in crate::config) ca: Option<Vec<u8>>,
}

/// Reads one block.
pub(super) fn read(section: &mut Section<'_>) -> IssuerSettings {
    let issuer = section.required("issuer").unwrap_or_default().to_owned();
    if !issuer.is_empty() {
        let query = || format!("is {issuer:?}; an issuer has no query. Write the `iss` of its tokens");
        let checked = syntax::https(&issuer);
        section.check("issuer", checked.and_then(|()| if issuer.contains('?') { Err(query()) } else { Ok(()) }));
    }
    let audiences = list(section, "audiences", "Add the `aud` of tokens for this server, such as [\"outcrop\"]");
    let names = list(section, "algorithms", "Add those that the issuer signs with, such as [\"RS256\"]");
    let mut algorithms = Vec::new();
    for Placed { key, value } in names.into_iter().filter(|name| !name.value.is_empty()) {
        if ALGORITHMS.contains(&value.as_str()) {
            algorithms.push(value);
        } else {
            section.problem_at(key, format!("is {value:?}; it must be one of {}", ALGORITHMS.join(", ")));
        }
    }
    let jwks_uri = section.string("jwks_uri").map(str::to_owned);
    if let Some(uri) = &jwks_uri {
        section.check("jwks_uri", syntax::https(uri));
    }
    let ca = section.string("ca").and_then(|path| {
        let read = fs::read(path).map_err(|error| format!("is {path:?}, which cannot be read: {error}"));
        section.checked("ca", read.and_then(|pem| certificates(path, pem)))
    });
    let audiences = audiences.into_iter().map(|placed| placed.value).collect();
    IssuerSettings { issuer, audiences, algorithms, jwks_uri, ca }
}

/// A list that must be there and have an entry.
fn list(section: &mut Section<'_>, key: &str, add: &str) -> Vec<Placed<String>> {
    if !section.has(key) {
        section.problem_here(format!("has no {key}. {add}"));
    }
    let entries = section.strings(key);
    if entries.as_ref().is_some_and(Vec::is_empty) {
        section.problem(key, format!("is empty. {add}"));
    }
    entries.unwrap_or_default()
}

/// The text of a PEM file, if it has certificates.
fn certificates(path: &str, pem: Vec<u8>) -> Result<Vec<u8>, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(pem),
        Ok(_) => Err(format!("is {path:?}, which has no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        Err(error) => Err(format!("is {path:?}, which is not valid PEM: {error}")),
    }
}
