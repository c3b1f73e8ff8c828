//! The sign-in of the page, as a browser asks for it; tests/web has the browser itself.
//!
//! - `server` a server with a caller, and requests to it
//! - `link` the link that signs in once
//! - `log` what is in no log line

mod link;
mod log;
mod server;

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use outcrop::{
    config::{ProxySettings, Settings},
    identity::settings::{IdentitySettings, TokenSettings},
};
use serde_json::{Value, json};
use tonic::Code;

use self::server::{Answer, Server};
use crate::{
    callers::{Caller, Protocol, new_key},
    tokens::issuer::{Issuer, now},
};

fn ok() -> (Option<Code>, String) {
    (Some(Code::Ok), String::new())
}

fn refused(reason: &str) -> (Option<Code>, String) {
    (Some(Code::Unauthenticated), reason.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_becomes_a_cookie_that_no_script_reads_and_only_calls_of_the_page_have() {
    let server = Server::start().await;
    assert_eq!(server.session("").await["required"], true);
    assert_eq!(server.session("").await["caller"], Value::Null);
    let signed_in = server.sign_in(&format!(" {}\n", server.ada.key)).await;
    assert_eq!((signed_in.status, signed_in.body.len()), (StatusCode::NO_CONTENT, 0));
    let wanted = format!("outcrop={}; Path=/; HttpOnly; SameSite=Strict", server.ada.key);
    assert_eq!(signed_in.cookie(), Some(wanted.as_str()));
    let cookie = signed_in.sent_back();
    let session = server.session(&cookie).await;
    assert_eq!((&session["caller"], &session["byCookie"]), (&json!("ada"), &json!(true)));
    assert!(!session.to_string().contains(&server.ada.key));
    for protocol in [Protocol::WebOverHttp1, Protocol::WebOverHttp2] {
        assert_eq!(server.call(protocol, &[("cookie", &cookie)]).await, ok());
        assert_eq!(server.call(protocol, &[]).await, refused("CREDENTIALS_MISSING"));
        // What is written goes before what a browser adds by itself.
        let headers = [("cookie", cookie.as_str()), ("authorization", "Bearer x")];
        assert_eq!(server.call(protocol, &headers).await, refused("CREDENTIALS_INVALID"));
    }
    for more in [&[][..], &[("sec-fetch-site", "same-origin")]] {
        let headers: Vec<_> = [("cookie", cookie.as_str()), ("te", "trailers")].iter().chain(more).copied().collect();
        assert_eq!(server.call(Protocol::Grpc, &headers).await, refused("CREDENTIALS_MISSING"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_makes_no_calls_for_pages_of_other_origins() {
    let server = Server::start().await;
    let cookie = server.sign_in(&server.ada.key).await.sent_back();
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("host", "evil.example")]
    {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let body = json!({ "credential": server.ada.key }).to_string();
            let answer = server.ask(method.clone(), &[("cookie", &cookie), (name, value)], body).await;
            let wanted = (403, "ORIGIN_NOT_ALLOWED".to_owned());
            assert_eq!(answer.refusal(&server.ada.key), wanted, "{method} {name}: {value}");
        }
        let refused = server.call(Protocol::WebOverHttp1, &[("cookie", &cookie), (name, value)]).await;
        assert_eq!(refused, (Some(Code::PermissionDenied), "ORIGIN_NOT_ALLOWED".to_owned()));
    }
    // Neither does a navigation, which may load the page.
    let navigation = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(server.ask(Method::GET, &navigation, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_tells_why_and_sets_no_cookie() {
    let ((expired, mut expired_settings), (disabled, mut disabled_settings)) = (new_key(), new_key());
    expired_settings.expires_at = Some(SystemTime::now() - Duration::from_secs(1));
    disabled_settings.disabled = true;
    let server = Server::with(|settings| {
        settings.identity.callers[0].keys.extend([expired_settings, disabled_settings]);
    })
    .await;
    let wrong = new_key().0;
    let long = "x".repeat(4_001);
    for (credential, status, reason) in [
        (wrong.as_str(), 401, "CREDENTIALS_INVALID"),
        (&expired, 401, "CREDENTIALS_EXPIRED"),
        (&disabled, 401, "CREDENTIALS_REVOKED"),
        ("", 401, "CREDENTIALS_INVALID"),
        ("x; Domain=example", 401, "CREDENTIALS_INVALID"),
        ("schlüssel", 401, "CREDENTIALS_INVALID"),
        (&long, 413, "MESSAGE_TOO_LARGE"),
    ] {
        let answer = server.sign_in(credential).await;
        assert_eq!(answer.refusal(credential), (status, reason.to_owned()), "{credential}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    let key = &server.ada.key;
    for (content_type, body, status, reason) in [
        ("text/plain", json!({ "credential": key }).to_string(), 400, "MALFORMED_REQUEST"),
        ("application/x-www-form-urlencoded", format!("credential={key}"), 400, "MALFORMED_REQUEST"),
        ("application/json", format!("{{\"credential\": \"{key}\""), 400, "MALFORMED_REQUEST"),
        ("application/json", json!({ "credential": key, "more": 1 }).to_string(), 400, "MALFORMED_REQUEST"),
        ("application/json", json!({ "credential": [key] }).to_string(), 400, "MALFORMED_REQUEST"),
        ("application/json", json!(key).to_string(), 400, "MALFORMED_REQUEST"),
        ("application/json", String::new(), 400, "MALFORMED_REQUEST"),
        ("application/json", json!({ "credential": "x".repeat(9_000) }).to_string(), 413, "MESSAGE_TOO_LARGE"),
    ] {
        let answer = server.ask(Method::POST, &[("content-type", content_type)], body.clone()).await;
        assert_eq!(answer.refusal(key), (status, reason.to_owned()), "{content_type}: {body}");
    }
    for method in [Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        assert_eq!(server.ask(method, &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(server.sign_in(key).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_many_keys_waits_and_a_valid_key_from_there_does_not() {
    let server = Server::start().await;
    let mut last = server.sign_in(&new_key().0).await;
    for _ in 0..40 {
        last = server.sign_in(&new_key().0).await;
    }
    assert_eq!(last.refusal(""), (429, "AUTHENTICATION_THROTTLED".to_owned()));
    let seconds = last.json()["retryAfterSeconds"].as_u64().unwrap();
    assert_eq!(last.headers["retry-after"], seconds.to_string());
    let of_cookie = server.session(&format!("outcrop={}", new_key().0)).await;
    assert_eq!(of_cookie["problem"]["reason"], "AUTHENTICATION_THROTTLED");
    assert_eq!(server.sign_in(&server.ada.key).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_key_and_its_cookie_is_removed() {
    let server = Server::start().await;
    let cookie = server.sign_in(&server.ada.key).await.sent_back();
    let mut callers = vec![server.ada.settings.clone()];
    callers[0].keys[0].disabled = true;
    server.reload.replace_callers(&IdentitySettings { callers, ..IdentitySettings::default() }).unwrap();
    let calls = server.call(Protocol::WebOverHttp1, &[("cookie", &cookie)]).await;
    assert_eq!(calls, refused("CREDENTIALS_REVOKED"));
    let answer = server.ask(Method::GET, &[("cookie", &cookie)], "").await;
    assert_eq!(
        (&answer.json()["caller"], &answer.json()["problem"]["reason"]),
        (&Value::Null, &json!("CREDENTIALS_REVOKED"))
    );
    assert_eq!(answer.cookie(), Some("outcrop=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
    // Without callers there is nothing to sign in to.
    server.reload.replace_callers(&IdentitySettings::default()).unwrap();
    assert_eq!(server.session(&cookie).await["required"], false);
    assert_eq!(server.sign_in(&server.ada.key).await.refusal(&server.ada.key), (400, "INVALID_REQUEST".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_as_its_subject() {
    let (issuer, gone) = (Issuer::start().await, Issuer::start().await);
    let of_gone = gone.token("grace", &json!({}));
    let server = Server::with(|settings| {
        for issuer in [&issuer, &gone] {
            settings.identity.issuers.push(issuer.settings.clone());
            let claims = [("groups".to_owned(), "staff".to_owned())].into();
            let tokens = TokenSettings { issuer: issuer.settings.issuer.clone(), claims };
            settings.identity.callers[0].tokens.push(tokens);
        }
        drop(gone);
    })
    .await;
    let token = issuer.token("grace", &json!({}));
    let cookie = server.sign_in(&token).await.sent_back();
    let session = server.session(&cookie).await;
    assert_eq!((&session["caller"], &session["subject"]), (&json!("ada"), &json!("grace")));
    assert_eq!(server.call(Protocol::WebOverHttp1, &[("cookie", &cookie)]).await, ok());
    for (token, status, reason) in [
        (issuer.token("grace", &json!({ "exp": now() - 61 })), 401, "CREDENTIALS_EXPIRED"),
        (issuer.token("grace", &json!({ "groups": ["guests"] })), 401, "CREDENTIALS_INVALID"),
        (issuer.token("grace", &json!({ "more": "x".repeat(4_000) })), 413, "MESSAGE_TOO_LARGE"),
        (of_gone, 503, "IDENTITY_PROVIDER"),
    ] {
        assert_eq!(server.sign_in(&token).await.refusal(&token), (status, reason.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_removes_the_cookie_and_what_the_browser_stored() {
    let server = Server::start().await;
    let cookie = server.sign_in(&server.ada.key).await.sent_back();
    let answer = server.ask(Method::DELETE, &[("cookie", &cookie)], "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.cookie(), Some("outcrop=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
    assert_eq!(answer.headers["clear-site-data"], "\"storage\", \"cache\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_carries_a_cookie_unencrypted() {
    let hosts = |settings: &mut Settings| settings.allowed_hosts = vec!["chat.example".to_owned()];
    let trusting = |settings: &mut Settings| {
        hosts(settings);
        settings.proxies = ProxySettings { networks: vec!["127.0.0.0/8".parse().unwrap()], ..ProxySettings::default() };
    };
    let (alone, behind) = (Server::with(hosts).await, Server::with(trusting).await);
    let https = [("host", "chat.example"), ("x-forwarded-proto", "https")];
    for (server, headers) in [(&alone, &https[..1]), (&alone, &https), (&behind, &https[..1])] {
        let body = json!({ "credential": server.ada.key }).to_string();
        let answer = server.ask(Method::POST, headers, body).await;
        assert_eq!(answer.refusal(&server.ada.key), (403, "PERMISSION_DENIED".to_owned()), "{headers:?}");
        for name in ["outcrop", "__Host-outcrop"] {
            let cookie = format!("{name}={}", server.ada.key);
            let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
            assert_eq!(server.call(Protocol::WebOverHttp1, &headers).await, refused("CREDENTIALS_MISSING"));
        }
    }
    let body = json!({ "credential": behind.ada.key }).to_string();
    let answer = behind.ask(Method::POST, &https, body).await;
    let wanted = format!("__Host-outcrop={}; Path=/; HttpOnly; SameSite=Strict; Secure", behind.ada.key);
    assert_eq!(answer.cookie(), Some(wanted.as_str()));
    let (secure, plain) = (answer.sent_back(), format!("outcrop={}", behind.ada.key));
    for (cookie, wanted) in [(&secure, ok()), (&plain, refused("CREDENTIALS_MISSING"))] {
        let headers: Vec<_> = https.iter().copied().chain([("cookie", cookie.as_str())]).collect();
        assert_eq!(behind.call(Protocol::WebOverHttp1, &headers).await, wanted);
    }
    let answer = behind.ask(Method::DELETE, &https, "").await;
    assert_eq!(answer.cookie(), Some("__Host-outcrop=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_sign_in_without_the_page() {
    let server = Server::with(|settings| settings.page = false).await;
    assert_eq!(server.sign_in(&server.ada.key).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(server.host.starts_with("127.0.0.1:"));
}
