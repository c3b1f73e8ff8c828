//! The blocks `[[issuer]]`: who issues tokens, and how they are verified.

use super::{
    read as read_file,
    section::{Placed, Section},
    syntax,
};
use crate::identity::jwt::settings::IssuerSettings;

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
        match value.parse() {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(problem) => section.problem_at(key, format!("cannot be used: {problem}")),
        }
    }
    let jwks_uri = section.string("jwks_uri").map(str::to_owned);
    if let Some(uri) = &jwks_uri {
        section.check("jwks_uri", syntax::https(uri));
    }
    let ca = section.string("ca").filter(|path| !path.is_empty()).and_then(|path| {
        let read = read_file(path).map_err(|problem| format!("is {path:?}, {problem}"));
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
