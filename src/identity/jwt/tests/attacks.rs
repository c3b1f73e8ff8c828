//! Tokens that must not be accepted, and those that must be.

use super::{
    signer::{Signer, encode, unsigned, with_secret},
    *,
};

#[tokio::test]
async fn a_token_of_each_algorithm_is_verified() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let provider = Provider::start(&signers.iter().map(Signer::jwk).collect::<Vec<_>>()).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    assert!(verifier.0.issuers.contains_key(provider.url.as_str()));
    for signer in &signers {
        let claims = claims(&provider, &json!({"groups": ["billing"], "aud": ["other", "outcrop"]}));
        // The second time it is in the cache.
        for _ in 0..2 {
            let accepted = verifier.verify(&signer.token(&claims)).await.unwrap();
            assert_eq!((&*accepted.issuer, accepted.subject.as_str()), (provider.url.as_str(), "ada"));
            assert_eq!(accepted.expires_at, UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap()));
            assert_eq!(Value::Object((*accepted.claims).clone()), claims);
            let shown = format!("{accepted:?}");
            assert!(!shown.contains("billing") && !shown.contains("ada"), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let signer = Signer::rsa("r");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let claims = claims(&provider, &json!({}));
    let valid = signer.token(&claims);
    verifier.verify(&valid).await.unwrap();
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let token = unsigned(&json!({"alg": name, "kid": "r"}), &claims);
        assert_eq!(refused(&verifier, &token).await, Rejection::Algorithm, "{name}");
        let (_, signature) = valid.rsplit_once('.').unwrap();
        assert_eq!(refused(&verifier, &format!("{token}{signature}")).await, Rejection::Algorithm, "{name}");
    }
    let (text, _) = valid.rsplit_once('.').unwrap();
    for signature in ["", "AAAA", "A", "=", "*"] {
        assert_eq!(refused(&verifier, &format!("{text}.{signature}")).await, Rejection::Signature, "{signature}");
    }
}

#[tokio::test]
async fn a_public_key_is_never_the_secret_of_an_hmac() {
    let signer = Signer::rsa("r");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let claims = claims(&provider, &json!({}));
    let jwk = signer.jwk();
    let modulus = jwk["n"].as_str().unwrap();
    for secret in [jwk.to_string().as_bytes(), modulus.as_bytes(), b"", b"secret"] {
        for name in ["HS256", "HS384", "HS512"] {
            let token = with_secret(secret, &json!({"alg": name, "kid": "r"}), &claims);
            assert_eq!(refused(&verifier, &token).await, Rejection::Algorithm);
        }
        // The header says RS256, and the signature is an HMAC.
        let token = with_secret(secret, &json!({"alg": "RS256", "kid": "r"}), &claims);
        assert_eq!(refused(&verifier, &token).await, Rejection::Signature);
    }
}

#[tokio::test]
async fn the_algorithm_is_one_of_the_issuer_and_that_of_the_key() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let provider = Provider::start(&[rsa.jwk(), ec.jwk(), ed.jwk()]).await;
    let all = verifier(&[provider.settings()]).0;
    let claims = claims(&provider, &json!({}));
    for signer in [&rsa, &ec, &ed] {
        for (kid, of_key) in [("r", "RS256"), ("e", "ES256"), ("d", "EdDSA")] {
            for name in ["RS256", "ES256", "EdDSA"] {
                let token = signer.sign(&json!({"alg": name, "kid": kid}), &claims);
                let expected = match (name == of_key, signer.algorithm() == of_key) {
                    (true, true) => None,
                    (true, false) => Some(Rejection::Signature),
                    (false, _) => Some(Rejection::Algorithm),
                };
                assert_eq!(all.verify(&token).await.err(), expected, "{} as {name} of {kid}", signer.algorithm());
            }
        }
    }
    let only_ec = IssuerSettings { algorithms: vec![Algorithm::Es256], ..provider.settings() };
    let only_ec = verifier(&[only_ec]).0;
    only_ec.verify(&ec.token(&claims)).await.unwrap();
    assert_eq!(refused(&only_ec, &rsa.token(&claims)).await, Rejection::Algorithm);
    assert_eq!(refused(&only_ec, &ed.token(&claims)).await, Rejection::Algorithm);
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = signer.token(&claims(&provider, &json!({})));
    verifier.verify(&token).await.unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let admin = encode(claims(&provider, &json!({"sub": "root"})).to_string());
    assert_eq!(refused(&verifier, &format!("{}.{admin}.{}", parts[0], parts[2])).await, Rejection::Signature);
    // Any other letter in any place. The last letters of a part have bits that mean nothing and must be zero.
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier.verify(&changed).await.is_err(), "accepted with another letter at {at}");
    }
    assert_eq!(provider.hits(provider::KEYS), 2, "one fetch, and one for unknown keys");
}

#[tokio::test]
async fn the_claims_are_those_of_a_token_for_this_server_and_now() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, clock) = verifier(&[provider.settings()]);
    let now = seconds();
    for (changes, rejection) in [
        (json!({"iss": format!("{}/", provider.url)}), Rejection::UnknownIssuer),
        (json!({"iss": "https://other.example.com"}), Rejection::UnknownIssuer),
        (json!({"iss": [provider.url]}), Rejection::Malformed),
        (json!({"iss": null}), Rejection::MissingClaim("iss")),
        (json!({"aud": "other"}), Rejection::Audience),
        (json!({"aud": null}), Rejection::MissingClaim("aud")),
        (json!({"exp": now - 61}), Rejection::Expired),
        (json!({"exp": null}), Rejection::MissingClaim("exp")),
        (json!({"nbf": now + 600}), Rejection::NotYetValid),
        (json!({"sub": null}), Rejection::MissingClaim("sub")),
        (json!({"sub": ""}), Rejection::MissingClaim("sub")),
    ] {
        let token = signer.token(&claims(&provider, &changes));
        assert_eq!(refused(&verifier, &token).await, rejection, "{changes}");
    }
    // A token in the cache ends too, a minute after `exp`.
    let token = signer.token(&claims(&provider, &json!({"exp": now + 30})));
    verifier.verify(&token).await.unwrap();
    clock.advance(Duration::from_mins(1));
    verifier.verify(&token).await.unwrap();
    clock.advance(Duration::from_mins(1));
    assert_eq!(refused(&verifier, &token).await, Rejection::Expired);
    // And one whose time has come is accepted.
    let token = signer.token(&claims(&provider, &json!({"nbf": now + 150})));
    verifier.verify(&token).await.unwrap();
}

#[tokio::test]
async fn only_the_holder_of_a_genuine_token_learns_what_its_claims_lack() {
    let (signer, attacker) = (Signer::ed("d"), Signer::ed("d"));
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    for changes in [json!({}), json!({"aud": "other"}), json!({"exp": 1}), json!({"sub": null})] {
        let token = attacker.token(&claims(&provider, &changes));
        assert_eq!(refused(&verifier, &token).await, Rejection::Signature, "{changes}");
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_ignored() {
    let (signer, attacker) = (Signer::ed("d"), Signer::ed("evil"));
    let provider = Provider::start(&[signer.jwk()]).await;
    let elsewhere = Provider::start(&[attacker.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let claims = claims(&provider, &json!({}));
    let url = format!("{}/keys", elsewhere.url);
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", attacker.jwk()),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("kid", json!(url)),
        ("kid", json!("../../../../dev/null")),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "evil"});
        header[name] = value.clone();
        assert_eq!(refused(&verifier, &attacker.sign(&header, &claims)).await, Rejection::UnknownKey, "{name}");
        header["kid"] = json!("d");
        if name != "kid" {
            assert_eq!(refused(&verifier, &attacker.sign(&header, &claims)).await, Rejection::Signature, "{name}");
            verifier.verify(&signer.sign(&header, &claims)).await.unwrap();
        }
    }
    assert_eq!(elsewhere.all_hits(), 0);
}

#[tokio::test]
async fn an_issuer_signs_for_itself_alone() {
    let (one, two) = (Signer::ed("same"), Signer::ed("same"));
    let (first, second) = (Provider::start(&[one.jwk()]).await, Provider::start(&[two.jwk()]).await);
    let (verifier, _) = verifier(&[first.settings(), second.settings()]);
    verifier.verify(&one.token(&claims(&first, &json!({})))).await.unwrap();
    verifier.verify(&two.token(&claims(&second, &json!({})))).await.unwrap();
    assert_eq!(refused(&verifier, &one.token(&claims(&second, &json!({})))).await, Rejection::Signature);
    assert_eq!(refused(&verifier, &two.token(&claims(&first, &json!({})))).await, Rejection::Signature);
}
