//! Callers who sign with a key pair of the server are known by it, and no other client is, whatever of a signed request is changed.

use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use outcrop::{
    config::{ProxySettings, Settings},
    identity::{key::NewKey, settings::CallerSettings, signing::SigningSecrets},
};

use super::caller::{converse, converse_stream, invoke, invoke_stream, post, sdk_with, send, send_from, serving};
use crate::{callers::settings_of, harness::Harness};

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const PATH: &str = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse";
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// A server with one caller who signs, and the key.
async fn signing() -> (Harness, NewKey) {
    signing_with(|_| {}).await
}

/// The same with other settings.
async fn signing_with(change: impl FnOnce(&mut Settings)) -> (Harness, NewKey) {
    let key = NewKey::generate().unwrap();
    let secrets = SigningSecrets::parse(&format!("{} {}", key.id(), key.signing_secret().as_str()).into()).unwrap();
    let mut caller = CallerSettings { name: "ada".into(), tenant: "ada".into(), ..CallerSettings::default() };
    caller.keys = vec![settings_of(&key)];
    caller.permissions.native_bodies = true;
    let harness = serving(|settings| {
        settings.identity.callers = vec![caller];
        settings.signing = secrets;
        change(settings);
    })
    .await;
    (harness, key)
}

fn credentials(key: &NewKey) -> Credentials {
    Credentials::new(key.access_key_id(), key.signing_secret().as_str(), None, None, "test")
}

/// What a client changes of a request that it has seen.
type Change = fn(&mut Request<Full<Bytes>>);

/// How a request is signed.
struct Signing {
    region: &'static str,
    service: &'static str,
    at: SystemTime,
    with_hash: bool,
}

impl Default for Signing {
    fn default() -> Self {
        Self { region: "us-east-1", service: "bedrock", at: SystemTime::now(), with_hash: false }
    }
}

/// A request that is signed so.
fn signed(endpoint: &str, credentials: &Credentials, how: &Signing) -> Request<Full<Bytes>> {
    let mut request = post(endpoint, PATH, BODY);
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    if how.with_hash {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(how.region)
        .name(how.service)
        .time(how.at)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let host = endpoint.strip_prefix("http://").unwrap();
    let headers = [("content-type", "application/json"), ("host", host)];
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(BODY.as_bytes())).unwrap();
    sign(signable, &parameters).unwrap().into_parts().0.apply_to_request_http1x(&mut request);
    request
}

#[tokio::test]
async fn the_sdk_signs_with_a_key_pair_of_the_server() {
    let (harness, key) = signing().await;
    let client = sdk_with(&harness.endpoint, credentials(&key));
    for told in [
        converse(&client, MODEL).await,
        converse_stream(&client, MODEL).await,
        invoke(&client, MODEL).await,
        invoke_stream(&client, MODEL).await,
    ] {
        assert_eq!(told.exception, "");
    }
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    assert_eq!(converse(&client, arn).await.exception, "");
    for with_hash in [false, true] {
        let how = Signing { with_hash, ..Signing::default() };
        for over_h2 in [false, true] {
            let mut request = signed(&harness.endpoint, &credentials(&key), &how);
            request.headers_mut().insert("user-agent", "is not signed".parse().unwrap());
            let answered = send(request, over_h2).await;
            assert_eq!(answered.status, StatusCode::OK, "{with_hash} {over_h2} {answered:?}");
        }
    }
}

/// The AWS SDK for JavaScript signs the pseudo-header `:authority` over HTTP/2, and a proxy can make one of HTTP/1.1 of the call.
#[tokio::test]
async fn the_authority_is_signed_in_place_of_the_host() {
    let (harness, key) = signing().await;
    let authority = harness.endpoint.strip_prefix("http://").unwrap();
    let request = |name: &str, authority: &str| {
        let mut request = signed(&harness.endpoint, &credentials(&key), &Signing::default());
        let time = request.headers()["x-amz-date"].to_str().unwrap().to_owned();
        let (scope, names) = (format!("{}/us-east-1/bedrock/aws4_request", &time[..8]), format!("{name};x-amz-date"));
        // The colons of the model id are encoded twice.
        let path = PATH.replace('%', "%25");
        let body = hex(BODY.as_bytes());
        let canonical = format!("POST\n{path}\n\n{name}:{authority}\nx-amz-date:{time}\n\n{names}\n{body}");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(canonical.as_bytes()));
        let signing =
            v4::generate_signing_key(key.signing_secret().as_str(), SystemTime::now(), "us-east-1", "bedrock");
        let signature = v4::calculate_signature(signing, text.as_bytes());
        let id = key.access_key_id();
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        request
    };
    for (name, over_h2) in [(":authority", true), (":authority", false), ("host", true)] {
        assert_eq!(send(request(name, authority), over_h2).await.status, StatusCode::OK, "{name} {over_h2}");
    }
    for (name, authority, over_h2) in
        [(":authority", "elsewhere.example", true), (":authority", "elsewhere.example", false), (":path", PATH, true)]
    {
        let answered = send(request(name, authority), over_h2).await;
        assert_eq!(answered.exception(), "InvalidSignatureException", "{name} {authority} {over_h2}");
    }
    assert_eq!(harness.emulator.stats().requests, 3);
}

/// The SHA-256 of some bytes, in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

#[tokio::test]
async fn a_request_that_is_signed_wrongly_is_refused() {
    let (harness, key) = signing().await;
    let own = credentials(&key);
    let minutes = |minutes| Duration::from_mins(minutes);
    let wrong_secret = Credentials::new(key.access_key_id(), "x".repeat(43), None, None, "test");
    let unknown = credentials(&NewKey::generate().unwrap());
    for (credentials, how, exception) in [
        (&wrong_secret, Signing::default(), "InvalidSignatureException"),
        (&unknown, Signing::default(), "UnrecognizedClientException"),
        (&own, Signing { service: "s3", ..Signing::default() }, "InvalidSignatureException"),
        (&own, Signing { region: "eu-west-1", ..Signing::default() }, "InvalidSignatureException"),
        (&own, Signing { at: SystemTime::now() - minutes(6), ..Signing::default() }, "InvalidSignatureException"),
        (&own, Signing { at: SystemTime::now() + minutes(6), ..Signing::default() }, "InvalidSignatureException"),
    ] {
        let answered = send(signed(&harness.endpoint, credentials, &how), false).await;
        assert_eq!((answered.status, answered.exception()), (StatusCode::FORBIDDEN, exception), "{answered:?}");
        assert!(!format!("{answered:?}").contains(key.signing_secret().as_str()));
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}

#[tokio::test]
async fn nothing_of_a_signed_request_can_be_changed() {
    let (harness, key) = signing().await;
    let changes: [(&str, Change); 9] = [
        ("its body", |request| *request.body_mut() = Full::new(BODY.replace("hi", "ho").into())),
        ("its path", |request| {
            let uri = request.uri().to_string().replace("/converse", "/converse-stream");
            *request.uri_mut() = uri.parse().unwrap();
        }),
        ("its query", |request| *request.uri_mut() = format!("{}?a=b", request.uri()).parse().unwrap()),
        ("a signed header", |request| {
            request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        }),
        ("its date", |request| {
            let date = request.headers()["x-amz-date"].to_str().unwrap().to_owned();
            let other = if date.ends_with("1Z") { date.replace("1Z", "2Z") } else { format!("{}1Z", &date[..14]) };
            request.headers_mut().insert("x-amz-date", other.parse().unwrap());
        }),
        ("its hash", |request| {
            request.headers_mut().insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
        }),
        ("its list of headers", |request| {
            let own = request.headers()["authorization"].to_str().unwrap().replace("content-type;", "");
            request.headers_mut().insert("authorization", own.parse().unwrap());
        }),
        ("the host in its list of headers", |request| {
            let own = request.headers()["authorization"].to_str().unwrap().replace("host;", "");
            request.headers_mut().insert("authorization", own.parse().unwrap());
        }),
        ("its digits", |request| {
            let own = request.headers()["authorization"].to_str().unwrap().to_owned();
            let last = if own.ends_with('0') { "1" } else { "0" };
            request.headers_mut().insert("authorization", format!("{}{last}", &own[..own.len() - 1]).parse().unwrap());
        }),
    ];
    for (what, change) in changes {
        let mut request = signed(&harness.endpoint, &credentials(&key), &Signing::default());
        change(&mut request);
        let answered = send(request, false).await;
        assert_eq!(
            (answered.status, answered.exception()),
            (StatusCode::FORBIDDEN, "InvalidSignatureException"),
            "{what}"
        );
    }
    for authorization in ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b", "AWS4-ECDSA-P256-SHA256 Credential=a"]
    {
        let mut request = post(&harness.endpoint, PATH, BODY);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        assert_eq!(send(request, false).await.exception(), "InvalidSignatureException", "{authorization}");
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}

/// A signature has no nonce, so equal requests of one second have the same.
#[tokio::test]
async fn equal_requests_at_once_are_all_served() {
    let (harness, key) = signing().await;
    let request = signed(&harness.endpoint, &credentials(&key), &Signing::default());
    let calls = (0..20).map(|_| send(request.clone(), false));
    let answers = futures_util::future::join_all(calls).await;
    let served = answers.iter().filter(|answered| answered.status == StatusCode::OK).count();
    assert_eq!((served, harness.emulator.stats().requests), (20, 20));
}

#[tokio::test]
async fn a_call_that_another_address_has_seen_cannot_be_made_again() {
    let (harness, key) = signing().await;
    let request = signed(&harness.endpoint, &credentials(&key), &Signing::default());
    assert_eq!(send(request.clone(), false).await.status, StatusCode::OK);
    let answered = send_from(Ipv4Addr::new(127, 0, 0, 2), request, false).await;
    assert_eq!((answered.status, answered.exception()), (StatusCode::FORBIDDEN, "InvalidSignatureException"));
    assert_eq!(harness.emulator.stats().requests, 1);
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_that_of_its_client() {
    let networks = vec!["127.0.0.1/32".parse().unwrap()];
    let (harness, key) =
        signing_with(|settings| settings.proxies = ProxySettings { networks, ..ProxySettings::default() }).await;
    let request = signed(&harness.endpoint, &credentials(&key), &Signing::default());
    let from = |client: &str| {
        let mut request = request.clone();
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        request
    };
    assert_eq!(send(from("192.0.2.1"), false).await.status, StatusCode::OK);
    assert_eq!(send(from("192.0.2.1"), false).await.status, StatusCode::OK);
    let answered = send(from("192.0.2.2"), false).await;
    assert_eq!((answered.status, answered.exception()), (StatusCode::FORBIDDEN, "InvalidSignatureException"));
    // An address that is no proxy cannot tell of another one.
    let answered = send_from(Ipv4Addr::new(127, 0, 0, 2), from("192.0.2.1"), false).await;
    assert_eq!((answered.status, answered.exception()), (StatusCode::FORBIDDEN, "InvalidSignatureException"));
    assert_eq!(harness.emulator.stats().requests, 2);
}

#[tokio::test]
async fn a_server_that_serves_all_takes_any_signature() {
    let harness = serving(|_| {}).await;
    let unknown = Credentials::new("AKIDEXAMPLE", "anything", None, None, "test");
    assert_eq!(converse(&sdk_with(&harness.endpoint, unknown), MODEL).await.exception, "");
}
