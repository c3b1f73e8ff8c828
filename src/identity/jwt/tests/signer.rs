//! Signs tokens with keys of every type, also tokens that no library would sign.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub(in crate::identity::jwt) struct Signer {
    kid: String,
    key: SigningKey,
}

enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Ed25519KeyPair),
}

/// Bytes as JWKs and tokens have them.
pub(in crate::identity::jwt) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a signature of this token signs.
fn signed(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

/// A token without a signature.
pub(in crate::identity::jwt) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", signed(header, claims))
}

/// A token signed with a secret.
pub(in crate::identity::jwt) fn with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let text = signed(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", encode(tag))
}

impl Signer {
    pub(in crate::identity::jwt) fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { kid: kid.to_owned(), key: SigningKey::Rsa(Box::new(pair)) }
    }

    pub(in crate::identity::jwt) fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), key: SigningKey::Ec(Box::new(pair)) }
    }

    pub(in crate::identity::jwt) fn ed(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: SigningKey::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(in crate::identity::jwt) fn algorithm(&self) -> &'static str {
        match self.key {
            SigningKey::Rsa(_) => "RS256",
            SigningKey::Ec(_) => "ES256",
            SigningKey::Ed(_) => "EdDSA",
        }
    }

    /// The public key, as the issuer publishes it.
    pub(in crate::identity::jwt) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            SigningKey::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            SigningKey::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            SigningKey::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    /// A token as the issuer makes it.
    pub(in crate::identity::jwt) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A token with any header.
    pub(in crate::identity::jwt) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = signed(header, claims);
        let (message, random) = (text.as_bytes(), SystemRandom::new());
        let signature = match &self.key {
            SigningKey::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            SigningKey::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            SigningKey::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{text}.{}", encode(signature))
    }
}
