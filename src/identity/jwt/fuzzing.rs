//! Any token and any JWK set, for the fuzz targets.

use std::time::UNIX_EPOCH;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{claims, keys::KeySet, token::Token};

/// Takes a JWK set, the header and the claims of a token, and a whole token, each on a line.
///
/// # Panics
/// If a signature is accepted that no issuer made.
pub(crate) fn tokens(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let keys = KeySet::parse(line());
    let encoded = [line(), line()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let unsigned = format!("{}.{}.", encoded[0], encoded[1]);
    let whole = String::from_utf8_lossy(line());
    for text in [unsigned.as_str(), &whole] {
        let Ok(token) = Token::parse(text) else { continue };
        let _ = token.issuer();
        let _ = claims::check(&token.claims, &["outcrop".to_owned()], UNIX_EPOCH);
        if let Ok(keys) = &keys {
            let _ = keys.knows(&token);
            // The shortest signatures, of ES256 and EdDSA, have 86 letters.
            assert!(token.signature.len() > 80 || keys.verify(&token).is_err(), "a signature of no issuer is accepted");
        }
    }
}
