//! The text that a signature of AWS (SigV4) covers: the canonical request.
//!
//! The crate with which the AWS SDK signs writes it for headers alone. Over HTTP/2 the AWS SDK for JavaScript signs the pseudo-header
//! `:authority` in place of `host`, so the text is written here, and tests compare it with that of the crate.

use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::digest::{hexadecimal, sha256};

/// The characters that are encoded in a name or a value of a query.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same in a path.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

const HOST: &str = "host";
const AUTHORITY: &str = ":authority";

/// The SHA-256 of the canonical request, in hexadecimal digits: of a request with these headers among the signed ones, this path and query
/// as they were sent, and a body with this hash. `None`: it lacks a header that is signed, or its host is not signed.
pub(super) fn hash(parts: &Parts, target: &str, signed: &[String], body: &str) -> Option<String> {
    if !signed.iter().any(|name| name == HOST || name == AUTHORITY) {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut text = format!("{}\n{}\n{}\n", parts.method, utf8_percent_encode(path, RESERVED_IN_PATH), sorted(query));
    for name in signed {
        text.extend([name, ":", &value(parts, name)?, "\n"]);
    }
    text.extend(["\n", &signed.join(";"), "\n", body]);
    Some(hexadecimal(&sha256(text.as_bytes())))
}

/// The values of a header, separated by commas. Runs of spaces are one.
fn value(parts: &Parts, name: &str) -> Option<String> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let name = match (name, authority) {
        (AUTHORITY, Some(authority)) => return Some(authority.to_owned()),
        // Of a call over HTTP/2, which a proxy has made one over HTTP/1.1.
        (AUTHORITY, None) => HOST,
        _ => name,
    };
    let values = parts.headers.get_all(name).iter().map(|value| value.to_str().ok().map(single_spaced));
    let values = values.collect::<Option<Vec<_>>>()?;
    match (values.is_empty(), name) {
        // Over HTTP/2 the host is not a header.
        (true, HOST) => authority.map(str::to_owned),
        (true, _) => None,
        (false, _) => Some(values.join(",")),
    }
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A query with its members encoded and sorted.
fn sorted(query: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let members = form_urlencoded::parse(query.as_bytes());
    let mut members: Vec<_> = members.map(|(name, value)| (encoded(&name), encoded(&value))).collect();
    members.sort();
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    members.join("&")
}
