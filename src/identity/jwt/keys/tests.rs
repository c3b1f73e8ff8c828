//! JWK sets, good and bad.

use serde_json::json;

use super::*;
use crate::identity::jwt::tests::signer::Signer;

fn set(keys: &[Value]) -> Result<KeySet, String> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// The key with these changes; `null` removes a member.
fn changed(mut key: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key
}

#[test]
fn keys_that_cannot_verify_a_token_are_left_out() {
    let (rsa, ec, ed) = (Signer::rsa("a").jwk(), Signer::ec("b").jwk(), Signer::ed("c").jwk());
    let number = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0x81; bytes]);
    for (why, key) in [
        ("for encryption", changed(rsa.clone(), &json!({"use": "enc"}))),
        ("another use", changed(ed.clone(), &json!({"use": "tls"}))),
        ("signs alone", changed(ec.clone(), &json!({"use": null, "key_ops": ["sign"]}))),
        ("1024 bits", changed(rsa.clone(), &json!({"n": number(128)}))),
        (
            "2047 bits",
            changed(rsa.clone(), &json!({"n": URL_SAFE_NO_PAD.encode([&[0x41][..], &[0x81; 255]].concat())})),
        ),
        (
            "1024 bits after zeros",
            changed(rsa.clone(), &json!({"n": URL_SAFE_NO_PAD.encode([[0; 128], [0x81; 128]].concat())})),
        ),
        ("16384 bits", changed(rsa.clone(), &json!({"n": number(2_048)}))),
        ("a huge exponent", changed(rsa.clone(), &json!({"e": number(256)}))),
        ("another curve", changed(ec.clone(), &json!({"crv": "P-384"}))),
        ("an unknown curve", changed(ec.clone(), &json!({"crv": "secp256k1"}))),
        ("short coordinates", changed(ec.clone(), &json!({"x": number(31)}))),
        ("another curve of an OKP", changed(ed.clone(), &json!({"crv": "X25519"}))),
        ("for RSA-PSS", changed(rsa.clone(), &json!({"alg": "PS256"}))),
        ("for RSA encryption", changed(rsa.clone(), &json!({"alg": "RSA-OAEP"}))),
        ("for HMAC", changed(rsa.clone(), &json!({"alg": "HS256"}))),
        ("symmetric", json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"})),
        ("of another type", changed(rsa.clone(), &json!({"kty": "AKP"}))),
        ("not base64url", changed(rsa.clone(), &json!({"n": "+/+="}))),
        ("not an object", json!("key")),
        ("nothing", json!({})),
    ] {
        let problem = set(std::slice::from_ref(&key)).err().unwrap_or_else(|| panic!("{why}: {key} is kept"));
        assert!(problem.contains("none of the 1 keys"), "{problem}");
        // It is left out, and the others stay.
        assert_eq!(set(&[key, ed.clone()]).unwrap().len(), 1, "{why}");
    }
    assert_eq!(set(&[rsa, ec, ed]).unwrap().len(), 3);
}

#[test]
fn a_set_is_a_json_object_with_keys() {
    for wrong in ["", "null", "[]", "{}", "{\"keys\": {}}", "<html>", "{\"keys\": []}"] {
        assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let key = Signer::ed("a").jwk();
    assert!(set(&vec![key.clone(); MAX_KEYS]).is_ok());
    assert!(set(&vec![key; MAX_KEYS + 1]).unwrap_err().contains("65 keys"));
}

#[test]
fn sets_are_the_same_if_their_keys_are() {
    let (one, two) = (Signer::ed("a"), Signer::ed("a"));
    assert_eq!(set(&[one.jwk()]), set(&[changed(one.jwk(), &json!({"x5t": "other"}))]));
    assert_ne!(set(&[one.jwk()]), set(&[two.jwk()]), "the same kid, another key");
    assert_ne!(set(&[one.jwk()]), set(&[one.jwk(), two.jwk()]));
}

#[test]
fn keys_that_share_a_kid_are_all_tried() {
    let signers: Vec<_> = (0..MAX_TRIED).map(|_| Signer::ed("same")).collect();
    let other = Signer::rsa("same");
    let mut keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    keys.push(other.jwk());
    let set = set(&keys).unwrap();
    for signer in signers.iter().chain([&other]) {
        let text = signer.token(&json!({"sub": "ada"}));
        assert_eq!(set.verify(&Token::parse(&text).unwrap()), Ok(()));
        let text = signer.sign(&json!({"alg": signer.algorithm()}), &json!({"sub": "ada"}));
        assert_eq!(set.verify(&Token::parse(&text).unwrap()), Ok(()), "a token without a kid");
    }
    let foreign = Signer::ed("same").token(&json!({"sub": "ada"}));
    assert_eq!(set.verify(&Token::parse(&foreign).unwrap()), Err(Rejection::Signature));
}
