//! Issuers that are down, slow, huge or wrong, and many callers at once.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinSet, yield_now},
};

use super::{
    provider::{Answer, DISCOVERY, KEYS},
    signer::Signer,
    *,
};
use crate::{
    identity::jwt::fetch::{Fetcher, Source},
    outbound::Proxies,
};

const RETRY: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_wait_for_one_fetch() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    let mut callers = JoinSet::new();
    for at in 0..1_000 {
        let (verifier, token) = (verifier.clone(), signer.token(&claims(&provider, &json!({"jti": at}))));
        callers.spawn(async move { verifier.verify(&token).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.len(), 1_000);
    assert_eq!((provider.hits(DISCOVERY), provider.hits(KEYS)), (1, 1));
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch() {
    let (signer, attacker) = (Signer::ed("d"), Signer::ed("x"));
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    verifier.verify(&signer.token(&claims(&provider, &json!({})))).await.unwrap();
    let unknown = |round: usize, at: usize| {
        attacker.sign(&json!({"alg": "EdDSA", "kid": format!("{round}-{at}")}), &claims(&provider, &json!({})))
    };
    for round in 1..=3 {
        let mut callers = JoinSet::new();
        for at in 0..1_000 {
            let (verifier, token) = (verifier.clone(), unknown(round, at));
            callers.spawn(async move { refused(&verifier, &token).await });
        }
        assert_eq!(callers.join_all().await, vec![Rejection::UnknownKey; 1_000]);
        assert_eq!(provider.hits(KEYS), 1 + round, "one fetch for all unknown keys of some seconds");
        // The next is refused at once, without a wait.
        let token = unknown(round, 1_000);
        let mut next = pin!(verifier.verify(&token));
        let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        assert!(matches!(polled, Poll::Ready(Err(Rejection::UnknownKey))));
        pass(RETRY).await;
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_tried_again_when_it_is_back() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let (verifier, _) = verifier(&[provider.settings()]);
    provider.answer(KEYS, Answer::Text("503 Service Unavailable\r\n", String::new()));
    let token = signer.token(&claims(&provider, &json!({})));
    for _ in 0..100 {
        let rejection = refused(&verifier, &token).await;
        assert!(matches!(&rejection, Rejection::IssuerUnavailable(why) if why.contains("503")), "{rejection}");
    }
    assert_eq!(provider.hits(KEYS), 1);
    provider.publish(&[signer.jwk()]);
    pass(RETRY).await;
    verifier.verify(&token).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_as_it_should_is_unavailable() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[signer.jwk()]).await;
    let elsewhere = Provider::start(&[signer.jwk()]).await;
    let to = format!("302 Found\r\nlocation: {}{KEYS}\r\n", elsewhere.url);
    let to = Answer::Text(Box::leak(to.into_boxed_str()), String::new());
    let text = |body: &str| Answer::Text("200 OK\r\n", body.to_owned());
    let discovery = |issuer: &str, uri: &str| Answer::Json(json!({"issuer": issuer, "jwks_uri": uri}), "");
    let uri = format!("{}{KEYS}", provider.url);
    let many = Answer::Json(json!({"keys": vec![signer.jwk(); 65]}), "");
    for (path, answer, why) in [
        (KEYS, Answer::Dribble, "did not answer in 500ms"),
        (DISCOVERY, Answer::Dribble, "did not answer in 500ms"),
        (KEYS, Answer::Gated(Arc::new(Semaphore::new(0)), json!({})), "did not answer in 500ms"),
        (KEYS, Answer::Endless, "more than 262144 bytes"),
        (DISCOVERY, Answer::Endless, "more than 262144 bytes"),
        (KEYS, Answer::Cut, "GET "),
        (KEYS, text("<html>"), "not a JSON object"),
        (KEYS, text(&"[".repeat(100_000)), "not a JSON object"),
        (KEYS, text("{\"keys\": []}"), "none of the 0 keys"),
        (KEYS, many, "65 keys"),
        (KEYS, to.clone(), "redirects are not followed"),
        (DISCOVERY, to, "redirects are not followed"),
        (KEYS, Answer::Text("500 Oh\r\n", String::new()), "status 500"),
        (DISCOVERY, Answer::Text("404 Not Found\r\n", String::new()), "status 404"),
        (DISCOVERY, text("{"), "not JSON"),
        (DISCOVERY, discovery("https://other.example.com", &uri), "is `https://other.example.com` and not"),
        (DISCOVERY, discovery(&format!("{}/", provider.url), &uri), "and not"),
        (DISCOVERY, discovery(&provider.url, &uri.replace("https", "http")), "does not begin with https://"),
        (DISCOVERY, discovery(&provider.url, ""), "its `jwks_uri` is ``"),
        (DISCOVERY, discovery(&provider.url, "file:///etc/passwd"), "its `jwks_uri` is `file:///etc/passwd`"),
    ] {
        provider.publish(&[signer.jwk()]);
        provider.answer(DISCOVERY, discovery(&provider.url, &uri));
        provider.answer(path, answer);
        let bounds = Bounds { time: Duration::from_millis(500), ..Bounds::default() };
        let (verifier, _) = with_bounds(&[provider.settings()], bounds);
        let rejection = refused(&verifier, &signer.token(&claims(&provider, &json!({})))).await;
        assert!(matches!(&rejection, Rejection::IssuerUnavailable(told) if told.contains(why)), "{why}: {rejection}");
    }
    assert_eq!(elsewhere.all_hits(), 0, "redirects are not followed");
}

#[tokio::test]
async fn an_issuer_is_trusted_by_its_certificate_alone() {
    let signer = Signer::ed("d");
    let (provider, other) = (Provider::start(&[signer.jwk()]).await, Provider::start(&[]).await);
    let token = signer.token(&claims(&provider, &json!({})));
    for ca in [other.settings().ca, None] {
        // The system's authorities are those of the machine, which may have none.
        let Ok(verifier) = Verifier::new(&[IssuerSettings { ca, ..provider.settings() }]) else { continue };
        let rejection = refused(&verifier, &token).await;
        assert!(matches!(&rejection, Rejection::IssuerUnavailable(why) if why.contains("certificate")), "{rejection}");
    }
    assert_eq!(provider.all_hits(), 0);
}

#[tokio::test]
async fn without_discovery_the_keys_are_where_the_settings_say() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[]).await;
    provider.answer("/other?v=1", Answer::Json(json!({"keys": [signer.jwk()]}), ""));
    let jwks_uri = Some(format!("{}/other?v=1", provider.url));
    let (verifier, _) = verifier(&[IssuerSettings { jwks_uri, ..provider.settings() }]);
    verifier.verify(&signer.token(&claims(&provider, &json!({})))).await.unwrap();
    assert_eq!((provider.hits(DISCOVERY), provider.hits(KEYS)), (0, 0));
}

#[tokio::test]
async fn keys_come_through_the_proxy_of_the_environment() {
    let provider = Provider::start(&[Signer::ed("d").jwk()]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:secret@{}", listener.local_addr().unwrap());
    let mut tunnels = JoinSet::new();
    tunnels.spawn(async move {
        for _ in [DISCOVERY, KEYS] {
            let (mut caller, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(caller.read_u8().await.unwrap());
            }
            let asked = String::from_utf8(asked).unwrap();
            let target = asked.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            let mut issuer = TcpStream::connect(target).await.unwrap();
            caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            copy_bidirectional(&mut caller, &mut issuer).await.unwrap();
        }
    });
    let (settings, proxies) = (provider.settings(), Proxies::all_through(&proxy));
    let fetcher = Fetcher::new(&settings, &[], Bounds::default(), proxies).unwrap();
    assert_eq!(fetcher.fetch(&settings).await.unwrap().keys.len(), 1);
    tunnels.join_next().await.unwrap().unwrap();
    // A proxy that is down is not passed by.
    assert!(fetcher.fetch(&settings).await.unwrap_err().contains("GET "));
    assert_eq!(provider.hits(KEYS), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_no_fetch_that_others_wait_for() {
    let signer = Signer::ed("d");
    let provider = Provider::start(&[]).await;
    let gate = Arc::new(Semaphore::new(0));
    provider.answer(KEYS, Answer::Gated(Arc::clone(&gate), json!({"keys": [signer.jwk()]})));
    let (verifier, _) = verifier(&[provider.settings()]);
    let token = signer.token(&claims(&provider, &json!({})));
    let mut first = Box::pin(verifier.verify(&token));
    assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await.is_pending());
    let mut second = Box::pin(verifier.verify(&token));
    assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
    eventually(async || provider.hits(KEYS) > 0).await;
    drop(first);
    gate.add_permits(1);
    second.await.unwrap();
    assert_eq!((provider.hits(DISCOVERY), provider.hits(KEYS)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_leave_at_every_await() {
    let signer = Signer::ed("d");
    for polls in 1..20 {
        let provider = Provider::start(&[signer.jwk()]).await;
        let (verifier, _) = verifier(&[provider.settings()]);
        let token = signer.token(&claims(&provider, &json!({})));
        {
            let mut leaving = pin!(verifier.verify(&token));
            for _ in 0..polls {
                if poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx))).await.is_ready() {
                    break;
                }
                yield_now().await;
            }
        }
        verifier.verify(&token).await.unwrap();
        assert_eq!((provider.hits(DISCOVERY), provider.hits(KEYS)), (1, 1), "after {polls} polls");
    }
}

#[tokio::test]
async fn the_last_verifier_ends_its_fetches() {
    let provider = Provider::start(&[]).await;
    provider.answer(KEYS, Answer::Gated(Arc::new(Semaphore::new(0)), json!({})));
    let (verifier, _) = verifier(&[provider.settings()]);
    verifier.prefetch();
    verifier.prefetch();
    eventually(async || provider.hits(KEYS) > 0).await;
    assert_eq!(provider.open(), 1);
    drop((verifier.clone(), verifier));
    eventually(async || provider.open() == 0).await;
    assert_eq!(provider.hits(KEYS), 1);
}
