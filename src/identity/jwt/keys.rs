//! The keys of an issuer: a JWK set (RFC 7517), of which only keys are kept that can verify a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    crypto::verify,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse, ThumbprintHash},
};
use serde_json::{Map, Value};

use super::{Rejection, settings::Algorithm, token::Token};

/// The maximum number of keys in a set. Issuers have about two: the present key and the next or the last one.
const MAX_KEYS: usize = 64;

/// The maximum number of keys that are tried for one token: more than one only if several keys have its `kid`, or if it has none.
const MAX_TRIED: usize = 8;

/// The sizes of RSA keys, in bits. Shorter ones can be broken, longer ones make verification slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The maximum length of an RSA exponent, in bytes. Nearly all keys have 65537.
const RSA_EXPONENT: usize = 4;

/// The length of a coordinate of P-256, and of an Ed25519 key.
const COORDINATE: usize = 32;

/// The keys of an issuer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    /// RFC 7638. It tells keys apart.
    thumbprint: String,
    decoding: DecodingKey,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify a token of this server are left out: other types and curves, keys for encryption, keys
    /// that are too short.
    ///
    /// # Errors
    /// If the text is not a JWK set, has too many keys, or has none that can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut set: Map<String, Value> =
            serde_json::from_slice(text).map_err(|error| format!("the JWK set is not a JSON object ({error})"))?;
        let Some(Value::Array(found)) = set.remove("keys") else {
            return Err("the JWK set has no array `keys`".to_owned());
        };
        let count = found.len();
        if count > MAX_KEYS {
            return Err(format!("the JWK set has {count} keys, more than the maximum of {MAX_KEYS}"));
        }
        let keys: Vec<_> = found.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(format!(
                "none of the {count} keys of the JWK set can be used: RSA keys need 2048 to 8192 bits, EC keys the curve P-256, \
                 OKP keys Ed25519, and `use`, `key_ops` and `alg` must allow to verify RS256, ES256 or EdDSA"
            ));
        }
        Ok(Self { keys })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key could be that of this token: it has the token's `kid`, or the token has none.
    pub(super) fn knows(&self, token: &Token<'_>) -> bool {
        self.named(token).next().is_some()
    }

    /// Verifies the signature of a token.
    ///
    /// # Errors
    /// [`Rejection::Algorithm`] if the key is for another algorithm than the token names, [`Rejection::Signature`] if no key of the issuer
    /// made the signature.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Rejection> {
        let mut fitting = self.named(token).filter(|key| key.algorithm == token.algorithm).take(MAX_TRIED).peekable();
        if fitting.peek().is_none() {
            return Err(Rejection::Algorithm);
        }
        if fitting.any(|key| key.signed(token)) { Ok(()) } else { Err(Rejection::Signature) }
    }

    fn named(&self, token: &Token<'_>) -> impl Iterator<Item = &Key> {
        let kid = token.kid.clone();
        self.keys.iter().filter(move |key| kid.is_none() || key.kid == kid)
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithm = algorithm(&jwk.algorithm)?;
        let common = &jwk.common;
        let to_verify = common.public_key_use.as_ref().is_none_or(|meant| *meant == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|allowed| allowed.contains(&KeyOperations::Verify));
        let for_algorithm = common
            .key_algorithm
            .is_none_or(|meant| meant == KeyAlgorithm::from(jsonwebtoken::Algorithm::from(algorithm)));
        if !to_verify || !for_algorithm {
            return None;
        }
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, algorithm, thumbprint, decoding })
    }

    fn signed(&self, token: &Token<'_>) -> bool {
        verify(token.signature, token.signed.as_bytes(), &self.decoding, self.algorithm.into()).unwrap_or(false)
    }
}

/// The algorithm that a key of this type and size is for.
fn algorithm(key: &AlgorithmParameters) -> Option<Algorithm> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let coordinate = |text: &str| decode(text).is_some_and(|bytes| bytes.len() == COORDINATE);
    match key {
        AlgorithmParameters::RSA(rsa) => {
            let fits = RSA_BITS.contains(&bits(&decode(&rsa.n)?)) && decode(&rsa.e)?.len() <= RSA_EXPONENT;
            fits.then_some(Algorithm::Rs256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (coordinate(&ec.x) && coordinate(&ec.y)).then_some(Algorithm::Es256)
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            coordinate(&okp.x).then_some(Algorithm::EdDsa)
        }
        // A symmetric key in a public document is not secret.
        _ => None,
    }
}

/// The number of bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
            Algorithm::EdDsa => Self::EdDSA,
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.thumbprint == other.thumbprint
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests;
