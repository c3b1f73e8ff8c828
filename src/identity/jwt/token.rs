//! The parts of a token, read without trusting them: a JWS in compact form (RFC 7515), whose payload is a set of claims (RFC 7519).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Rejection, settings::Algorithm};

/// The maximum size of a token, in bytes. Providers stay far below it, because tokens travel in HTTP headers.
pub(super) const MAX_BYTES: usize = 8 << 10;

/// The types (`typ`) of tokens that prove who calls (RFC 9068), in lower case. A token of another type, such as a logout token, is for
/// another purpose. Most issuers write `JWT` or nothing.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose signature has not been verified.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What the signature signs.
    pub(super) signed: &'a str,
    /// The signature, in base64url.
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    /// The id of the key that made the signature.
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    /// Reads a token. Its keys and certificates (`jwk`, `jku`, `x5c`, `x5u`) are ignored: only the issuer's own keys prove anything.
    ///
    /// # Errors
    /// [`Rejection::NotAToken`] if the text has not the form of a token, so that it may be another kind of credential.
    pub(super) fn parse(text: &'a str) -> Result<Self, Rejection> {
        if text.len() > MAX_BYTES {
            return Err(Rejection::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Rejection::NotAToken)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejection::NotAToken)?;
        let header = object(header).ok_or(Rejection::NotAToken)?;
        let claims = object(payload).ok_or(Rejection::Malformed)?;
        // This server understands no extension that a token may demand.
        if header.contains_key("crit") {
            return Err(Rejection::Malformed);
        }
        if let Some(kind) = string(&header, "typ")?
            && !TYPES.contains(&kind.to_ascii_lowercase().as_str())
        {
            return Err(Rejection::Malformed);
        }
        let algorithm = string(&header, "alg")?.ok_or(Rejection::Malformed)?;
        let algorithm = algorithm.parse().map_err(|_| Rejection::Algorithm)?;
        let kid = string(&header, "kid")?.map(str::to_owned);
        Ok(Self { signed, signature, algorithm, kid, claims })
    }

    /// The issuer that the token claims to be from.
    pub(super) fn issuer(&self) -> Result<&str, Rejection> {
        string(&self.claims, "iss")?.ok_or(Rejection::MissingClaim("iss"))
    }
}

/// A member that is a string if it is there.
pub(super) fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Rejection> {
    object.get(name).map(|value| value.as_str().ok_or(Rejection::Malformed)).transpose()
}

/// A JSON object in base64url.
fn object(encoded: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    fn rejection(header: &Value) -> Option<Rejection> {
        Token::parse(&text(header, &json!({}))).err()
    }

    #[test]
    fn other_credentials_are_not_tokens() {
        let five = format!("{}.a.b", text(&json!({"alg": "RS256"}), &json!({})));
        for other in ["", ".", "..", "...", "oc_abc_def", "a.b.c", "sk-ant.abc.def", "e30=.e30=.", &five] {
            assert!(matches!(Token::parse(other), Err(Rejection::NotAToken | Rejection::Malformed)), "{other}");
        }
        for other in ["oc_0123456789ab_secret", "a.b.c"] {
            assert_eq!(Token::parse(other).err(), Some(Rejection::NotAToken), "{other}");
        }
    }

    #[test]
    fn algorithms_without_a_private_key_are_refused_in_any_spelling() {
        for refused in
            ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "hs256", "RS1", "PS256", "", "RS256 "]
        {
            assert_eq!(rejection(&json!({"alg": refused})), Some(Rejection::Algorithm), "{refused}");
        }
        for malformed in [json!({}), json!({"alg": null}), json!({"alg": ["RS256"]}), json!({"alg": 256})] {
            assert_eq!(rejection(&malformed), Some(Rejection::Malformed), "{malformed}");
        }
    }

    #[test]
    fn what_a_token_demands_and_is_not_understood_is_refused() {
        for header in [
            json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "RS256", "crit": []}),
            json!({"alg": "RS256", "typ": "logout+jwt"}),
            json!({"alg": "RS256", "typ": "dpop+jwt"}),
            json!({"alg": "RS256", "kid": 7}),
        ] {
            assert_eq!(rejection(&header), Some(Rejection::Malformed), "{header}");
        }
        for header in [json!({"alg": "RS256", "typ": "JWT"}), json!({"alg": "ES256", "typ": "at+JWT", "kid": "a"})] {
            assert_eq!(rejection(&header), None, "{header}");
        }
    }

    #[test]
    fn a_token_beyond_the_maximum_is_refused_before_it_is_read() {
        let fitting = json!({"a": "a".repeat(5_000)});
        assert!(Token::parse(&text(&json!({"alg": "RS256"}), &fitting)).is_ok());
        let huge = json!({"a": "a".repeat(MAX_BYTES)});
        assert_eq!(Token::parse(&text(&json!({"alg": "RS256"}), &huge)).err(), Some(Rejection::Malformed));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}", header in ".{0,80}", claims in ".{0,80}") {
            let _ = Token::parse(&text);
            let made = format!("{}.{}.x", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let _ = Token::parse(&made);
        }
    }
}
