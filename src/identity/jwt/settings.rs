//! The settings of an issuer, and what is wrong with them.

use std::{collections::HashSet, fmt, str::FromStr};

use http::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// An issuer of tokens: an OpenID Connect provider, or any other that publishes its keys as a JWK set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The `iss` of its tokens, exactly. An `https://` URL.
    pub issuer: String,
    /// A token is accepted if one of these is in its `aud`.
    pub audiences: Vec<String>,
    /// The algorithms that its tokens may use.
    pub algorithms: Vec<Algorithm>,
    /// The `https://` URL of its JWK set. `None`: OpenID Connect discovery finds it.
    pub jwks_uri: Option<String>,
    /// The certificates of the authorities that sign its TLS certificate, in PEM. `None`: the authorities that the machine trusts.
    pub ca: Option<Vec<u8>>,
}

/// A signature algorithm. Each is made with a private key that only the issuer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in the header of a token.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "use RS256, ES256 or EdDSA";
        if let Some(algorithm) = [Self::Rs256, Self::Es256, Self::EdDsa].into_iter().find(|known| known.name() == name)
        {
            return Ok(algorithm);
        }
        let upper = name.to_ascii_uppercase();
        Err(if upper == "NONE" {
            format!(
                "`{name}` is never accepted, because such a token has no signature and any caller can write it: {ACCEPTED}"
            )
        } else if upper.starts_with("HS") {
            format!(
                "`{name}` is never accepted, because it is verified with the secret that signs, so that every verifier could \
                 issue tokens: {ACCEPTED}"
            )
        } else {
            format!("the algorithm `{name}` is not supported (names are case-sensitive): {ACCEPTED}")
        })
    }
}

/// What is wrong with these settings, each with what to do.
pub(super) fn problems(settings: &[IssuerSettings]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for issuer in settings {
        if !seen.insert(&issuer.issuer) {
            problems
                .push(format!("the issuer `{}` is there twice: remove one, or merge their audiences", issuer.issuer));
        }
        problems
            .extend(issuer.problems().into_iter().map(|problem| format!("the issuer `{}`: {problem}", issuer.issuer)));
    }
    problems
}

impl IssuerSettings {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(problem) = https(&self.issuer) {
            problems
                .push(format!("{problem}. It must be the `iss` of its tokens, such as https://accounts.example.com"));
        } else if self.issuer.contains('?') {
            problems.push("an issuer has no query: write its URL as in the `iss` of its tokens".to_owned());
        }
        if let Some(uri) = &self.jwks_uri
            && let Err(problem) = https(uri)
        {
            problems.push(format!(
                "`jwks_uri` is `{uri}`: {problem}. Keys that anyone on the way can replace prove nothing"
            ));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            problems.push(
                "`audiences` is empty or has an empty name: write the `aud` of tokens for this server. Without it the \
                 tokens for every other application of the issuer would be accepted"
                    .to_owned(),
            );
        }
        if self.algorithms.is_empty() {
            problems
                .push("`algorithms` is empty: write those that the issuer signs with, such as [\"RS256\"]".to_owned());
        }
        if let Some(Err(problem)) = self.ca.as_deref().map(certificates) {
            problems.push(format!("`ca` {problem}"));
        }
        problems
    }
}

/// The URI, if it is an `https://` URL without user, password and fragment.
pub(super) fn https(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("it is not a URL ({error})"))?;
    if uri.scheme_str() != Some("https") {
        return Err("it does not begin with https://".to_owned());
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) || text.contains('#') {
        return Err("it has a user, a password or a fragment".to_owned());
    }
    Ok(uri)
}

/// The certificates of a PEM file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not valid PEM ({error}): write certificates in PEM"))?;
    if found.is_empty() {
        return Err("has no certificate: write at least one in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> IssuerSettings {
        IssuerSettings {
            issuer: "https://id.example.com/realm".to_owned(),
            audiences: vec!["outcrop".to_owned()],
            algorithms: vec![Algorithm::Rs256],
            jwks_uri: None,
            ca: None,
        }
    }

    #[test]
    fn only_algorithms_with_a_private_key_are_accepted() {
        for known in ["RS256", "ES256", "EdDSA"] {
            assert_eq!(known.parse::<Algorithm>().unwrap().to_string(), known);
        }
        for (refused, why) in [
            ("none", "never accepted, because such a token has no signature"),
            ("nOnE", "never accepted, because such a token has no signature"),
            ("HS256", "never accepted, because it is verified with the secret that signs"),
            ("hs512", "never accepted, because it is verified with the secret that signs"),
            ("rs256", "case-sensitive"),
            ("PS256", "not supported"),
            ("", "not supported"),
        ] {
            let problem = refused.parse::<Algorithm>().unwrap_err();
            assert!(problem.contains(why) && problem.contains("use RS256, ES256 or EdDSA"), "{refused}: {problem}");
        }
    }

    #[test]
    fn every_problem_of_the_settings_is_told_at_once() {
        assert_eq!(problems(&[valid()]), Vec::<String>::new());
        let broken = IssuerSettings {
            issuer: "http://id.example.com".to_owned(),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            jwks_uri: Some("http://id.example.com/keys".to_owned()),
            ca: Some(b"nothing".to_vec()),
        };
        let told = problems(&[broken.clone(), broken]).join("\n");
        for part in
            ["`http://id.example.com` is there twice", "https://", "`audiences`", "`algorithms`", "`jwks_uri`", "`ca`"]
        {
            assert!(told.contains(part), "{part} is not told in {told}");
        }
    }

    #[test]
    fn an_issuer_and_its_keys_are_plain_https_urls() {
        for (wrong, why) in [
            ("id.example.com", "https://"),
            ("https://user:word@id.example.com", "a user, a password"),
            ("https://id.example.com/#part", "a fragment"),
            ("https://id.example.com/a b", "not a URL"),
            ("", "not a URL"),
        ] {
            assert!(https(wrong).unwrap_err().contains(why), "{wrong}: {:?}", https(wrong));
            assert_eq!(problems(&[IssuerSettings { issuer: wrong.to_owned(), ..valid() }]).len(), 1, "{wrong}");
            assert_eq!(problems(&[IssuerSettings { jwks_uri: Some(wrong.to_owned()), ..valid() }]).len(), 1, "{wrong}");
        }
        let query = IssuerSettings { issuer: "https://id.example.com/?a=b".to_owned(), ..valid() };
        assert!(problems(&[query])[0].contains("no query"));
    }
}
