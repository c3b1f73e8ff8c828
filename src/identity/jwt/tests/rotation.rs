//! Keys that change while calls go on.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use tokio::{sync::Semaphore, task::yield_now};

use super::{
    provider::{Answer, KEYS},
    signer::Signer,
    *,
};
use crate::identity::jwt::cache::TokenHash;

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_token_of_a_new_key_is_accepted_at_once_and_ends_those_of_a_key_that_is_gone() {
    let (old, new) = (Signer::rsa("old"), Signer::ec("new"));
    let provider = Provider::start(&[old.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let of_old = old.token(&claims(&provider, &json!({})));
    let of_new = new.token(&claims(&provider, &json!({})));
    verifier.verify(&of_old).await.unwrap();
    // Both keys are published for a while, and both tokens are accepted.
    provider.publish(&[old.jwk(), new.jwk()]);
    verifier.verify(&of_new).await.unwrap();
    verifier.verify(&of_old).await.unwrap();
    // The old key is gone. Nothing tells the server until the keys are due.
    provider.publish(&[new.jwk()]);
    verifier.verify(&of_old).await.unwrap();
    pass(10 * MINUTE).await;
    verifier.verify(&of_new).await.unwrap();
    // Also the token that is in the cache.
    eventually(async || verifier.verify(&of_old).await.is_err()).await;
    assert_eq!(refused(&verifier, &of_old).await, Rejection::UnknownKey);
}

#[tokio::test]
async fn a_key_that_is_replaced_under_its_kid_ends_the_tokens_in_the_cache() {
    let (old, new) = (Signer::ed("same"), Signer::ed("same"));
    let provider = Provider::start(&[old.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let (of_old, of_new) = (old.token(&claims(&provider, &json!({}))), new.token(&claims(&provider, &json!({}))));
    verifier.verify(&of_old).await.unwrap();
    provider.publish(&[new.jwk()]);
    pass(11 * MINUTE).await;
    // The keys are overdue, so this waits for the new ones.
    assert_eq!(refused(&verifier, &of_old).await, Rejection::Signature);
    verifier.verify(&of_new).await.unwrap();
    assert_eq!(provider.hits(KEYS), 2);
}

#[tokio::test]
async fn keys_are_kept_as_long_as_the_issuer_says_within_bounds() {
    let signer = Signer::ed("d");
    for (header, fresh) in [
        ("", 10 * MINUTE),
        ("cache-control: public, max-age=1800\r\n", 30 * MINUTE),
        ("Cache-Control: MAX-AGE=\"1800\", must-revalidate\r\nage: 600\r\n", 20 * MINUTE),
        ("cache-control: max-age=0\r\n", MINUTE),
        ("cache-control: no-store\r\n", MINUTE),
        ("cache-control: max-age=1800, no-cache\r\n", MINUTE),
        ("cache-control: max-age=31536000\r\n", 60 * MINUTE),
        ("cache-control: max-age=99999999999999999999999\r\n", 10 * MINUTE),
        ("cache-control: max-age=-5\r\n", 10 * MINUTE),
    ] {
        let provider = Provider::start(&[]).await;
        provider.answer(KEYS, Answer::Json(json!({"keys": [signer.jwk()]}), header));
        let (verifier, _) = verifier(&[provider.settings()]);
        let token = signer.token(&claims(&provider, &json!({})));
        verifier.verify(&token).await.unwrap();
        // Real seconds pass too, while the test runs.
        pass(fresh.saturating_sub(MINUTE / 2)).await;
        verifier.verify(&token).await.unwrap();
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(provider.hits(KEYS), 1, "{header}");
        pass(MINUTE / 2).await;
        verifier.verify(&token).await.unwrap();
        eventually(async || provider.hits(KEYS) == 2).await;
    }
}

#[tokio::test]
async fn keys_that_are_due_are_used_while_they_are_fetched() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = |at: u64| signer.token(&claims(&provider, &json!({"jti": at})));
    verifier.verify(&token(0)).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    provider.answer(KEYS, Answer::Gated(Arc::clone(&gate), json!({"keys": [signer.jwk()]})));
    pass(10 * MINUTE).await;
    for at in 0..100 {
        verifier.verify(&token(at)).await.unwrap();
    }
    eventually(async || provider.hits(KEYS) == 2).await;
    verifier.verify(&token(100)).await.unwrap();
    assert_eq!(provider.hits(KEYS), 2);
    gate.add_permits(1);
}

#[tokio::test]
async fn a_refresh_that_brings_the_same_keys_ends_nothing_in_the_cache() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[]).await;
    let short = "cache-control: max-age=60\r\n";
    provider.answer(KEYS, Answer::Json(json!({"keys": [signer.jwk()]}), short));
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = signer.token(&claims(&provider, &json!({})));
    let known = || verifier.cached(TokenHash::of(&token)).is_some();
    assert!(!known());
    verifier.verify(&token).await.unwrap();
    assert!(known());
    pass(MINUTE).await;
    assert!(known(), "and a refresh begins");
    eventually(async || provider.hits(KEYS) == 2).await;
    // When this is refused, a fetch has ended.
    let unknown = Signer::ed("x").token(&claims(&provider, &json!({})));
    assert_eq!(refused(&verifier, &unknown).await, Rejection::UnknownKey);
    assert!(known());
    provider.publish(&[signer.jwk(), Signer::ed("new").jwk()]);
    pass(MINUTE).await;
    eventually(async || !known()).await;
    verifier.verify(&token).await.unwrap();
    assert!(known());
}

#[tokio::test]
async fn an_issuer_that_is_down_is_trusted_for_a_day() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, clock) = verifier(&[provider.settings()]);
    let token = |hours: u64| signer.token(&claims(&provider, &json!({"exp": seconds() + (hours + 1) * 3_600})));
    verifier.verify(&token(0)).await.unwrap();
    provider.answer(KEYS, Answer::Text("503 Service Unavailable\r\n", String::new()));
    for hours in 1..24 {
        pass(60 * MINUTE).await;
        clock.advance(60 * MINUTE);
        // Twice: the second time it is in the cache.
        for _ in 0..2 {
            verifier.verify(&token(hours)).await.unwrap();
        }
        let unknown = Signer::ed("x").token(&claims(&provider, &json!({})));
        assert!(matches!(refused(&verifier, &unknown).await, Rejection::IssuerUnavailable(_)), "after {hours} hours");
    }
    pass(60 * MINUTE).await;
    assert!(matches!(refused(&verifier, &token(24)).await, Rejection::IssuerUnavailable(_)));
    assert!(
        matches!(refused(&verifier, &token(23)).await, Rejection::IssuerUnavailable(_)),
        "also what is in the cache"
    );
    provider.publish(&[signer.jwk()]);
    pass(MINUTE).await;
    verifier.verify(&token(24)).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_hangs_delays_one_wait_of_its_callers() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let bounds = Bounds { time: Duration::from_millis(200), ..Bounds::default() };
    let (verifier, _) = with_bounds(&[provider.settings()], bounds);
    let token = |at: u64| signer.token(&claims(&provider, &json!({"jti": at})));
    verifier.verify(&token(0)).await.unwrap();
    provider.answer(KEYS, Answer::Gated(Arc::new(Semaphore::new(0)), json!({})));
    // The keys are overdue: a call waits for newer ones, in vain.
    pass(12 * MINUTE).await;
    verifier.verify(&token(1)).await.unwrap();
    assert_eq!(provider.hits(KEYS), 2);
    for fetch in 3..6 {
        pass(MINUTE).await;
        let text = token(fetch);
        let mut call = pin!(verifier.verify(&text));
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(matches!(polled, Poll::Ready(Ok(_))), "while the next fetch hangs");
        eventually(async || provider.hits(KEYS) == usize::try_from(fetch).unwrap() && provider.open() == 0).await;
    }
}

#[tokio::test]
async fn a_search_that_failed_is_repeated() {
    let (signer, new) = (Signer::ed("d"), Signer::ed("n"));
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = |signer: &Signer| signer.token(&claims(&provider, &json!({})));
    verifier.verify(&token(&signer)).await.unwrap();
    provider.answer(KEYS, Answer::Text("503 Service Unavailable\r\n", String::new()));
    assert!(matches!(refused(&verifier, &token(&new)).await, Rejection::IssuerUnavailable(_)));
    verifier.verify(&token(&signer)).await.unwrap();
    provider.publish(&[signer.jwk(), new.jwk()]);
    pass(MINUTE / 4).await;
    verifier.verify(&token(&new)).await.unwrap();
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_issuers_that_stay() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = signer.token(&claims(&provider, &json!({})));
    verifier.verify(&token).await.unwrap();
    provider.answer(KEYS, Answer::Text("503 Service Unavailable\r\n", String::new()));
    let same = verifier.reloaded(&[provider.settings()]).unwrap();
    drop(verifier);
    assert!(same.cached(TokenHash::of(&token)).is_some(), "it is not verified again");
    same.verify(&token).await.unwrap();
    assert_eq!(provider.hits(KEYS), 1);
    // Other settings are another issuer, whose keys are fetched, and whose rules apply to what was verified before.
    let other =
        same.reloaded(&[IssuerSettings { audiences: vec!["other".to_owned()], ..provider.settings() }]).unwrap();
    assert!(matches!(refused(&other, &token).await, Rejection::IssuerUnavailable(_)));
    provider.publish(&[signer.jwk()]);
    pass(MINUTE).await;
    assert!(other.cached(TokenHash::of(&token)).is_none());
    assert_eq!(refused(&other, &token).await, Rejection::Audience);
    assert!(other.cached(TokenHash::of(&token)).is_none(), "its issuer has keys again, and other rules");
    let gone = other.reloaded(&[]).unwrap();
    assert!(gone.cached(TokenHash::of(&token)).is_none());
    assert_eq!(refused(&gone, &token).await, Rejection::UnknownIssuer);
    assert!(!gone.0.issuers.contains_key(provider.url.as_str()));
}
