//! Certificates of clients: who is let in, and what a client is told that is not.

use outcrop::identity::settings::{CallerSettings, IdentitySettings};
use outcrop_client::{Client, ClientError};

use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};

use super::{
    authority::{Authority, Files, Issued},
    is_served,
    wire::{Dial, exchange},
};
use crate::harness::{Harness, collect, request, soon};

const NAME: &str = "spiffe://example.org/billing";

/// A server that asks clients for a certificate, and a client that has one.
async fn server(files: &Files, required: bool) -> Harness {
    let ca = files.authority.pem();
    let client = files.authority.client(&[NAME]);
    let change = |settings: &mut outcrop::config::Settings| settings.tls = Some(files.asking(required));
    Harness::connecting(change, |builder| client.identify(builder.trusting(ca.as_bytes()))).await
}

/// The error of a client with this certificate.
async fn refusal(harness: &Harness, files: &Files, client: Option<&Issued>) -> String {
    let builder = Client::builder(&harness.endpoint).trusting(files.authority.pem().as_bytes());
    let builder = match client {
        Some(client) => client.identify(builder),
        None => builder,
    };
    // In TLS 1.3 the client can have sent its call before the server refuses the certificate.
    let call = async { builder.connect().await?.generate(request("emulator.tools")).await.map(drop) };
    let error: ClientError = soon(call).await.expect_err("the certificate is refused");
    error.to_string()
}

/// The alert that a client with this certificate gets.
async fn alert(harness: &Harness, files: &Files, client: Option<&Issued>) -> String {
    let ca = files.authority.pem();
    let dial = client.map_or_else(|| Dial::trusting(&ca), |client| Dial::identified(&ca, client));
    let mut stream = dial.connect(&harness.endpoint).await.unwrap();
    let (answer, ended) = exchange(&mut stream, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(answer, b"");
    ended.expect_err("the certificate is refused").to_string()
}

#[tokio::test]
async fn only_certificates_of_the_authority_that_are_valid_are_let_in() {
    let files = Files::new("required");
    let harness = server(&files, true).await;
    is_served(&harness).await;
    let stranger = Authority::new("stranger").client(&[NAME]);
    let expired = files.authority.expired_client(NAME);
    for (client, said) in
        [(None, "CertificateRequired"), (Some(&stranger), "UnknownCA"), (Some(&expired), "CertificateExpired")]
    {
        let alert = alert(&harness, &files, client).await;
        assert!(alert.contains(said), "{said} in {alert}");
        // The client of the project gets the alert, or finds its connection closed.
        let error = refusal(&harness, &files, client).await;
        assert!(error.contains("client certificate"), "{error}");
    }
    let refused = || harness.count("tls_handshakes_total", &["outcome=\"client_certificate\""]);
    soon(async {
        while refused() < 6 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    is_served(&harness).await;
    assert_eq!(harness.emulator.stats().requests, 2, "those of the client that was let in");
}

#[tokio::test]
async fn an_optional_certificate_is_verified_if_there_is_one() {
    let files = Files::new("optional");
    let harness = server(&files, false).await;
    is_served(&harness).await;
    let without = Client::connect_trusting(&harness.endpoint, files.authority.pem().as_bytes()).await.unwrap();
    soon(collect(soon(without.generate(request("emulator.tools"))).await.unwrap())).await.whole();
    let stranger = Authority::new("stranger").client(&[NAME]);
    let alert = alert(&harness, &files, Some(&stranger)).await;
    assert!(alert.contains("UnknownCA"), "{alert}");
    assert_eq!(harness.emulator.stats().requests, 2);
}

#[tokio::test]
async fn a_session_with_a_certificate_is_verified_anew_and_others_are_resumed() {
    let files = Files::new("resumed");
    let ca = files.authority.pem();
    let get = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    for (asks, again) in [(true, HandshakeKind::Full), (false, HandshakeKind::Resumed)] {
        let change = |settings: &mut outcrop::config::Settings| {
            settings.tls = Some(if asks { files.asking(false) } else { files.settings() });
        };
        let harness = Harness::connecting(change, |builder| builder.trusting(ca.as_bytes())).await;
        let client = files.authority.client(&[NAME]);
        for version in [&TLS12, &TLS13] {
            let dial = Dial::with_versions(&ca, asks.then_some(&client), &[version]);
            for kind in [HandshakeKind::Full, again] {
                let mut stream = dial.connect(&harness.endpoint).await.unwrap();
                // The tickets of TLS 1.3 come with the answer.
                exchange(&mut stream, get).await.1.unwrap();
                let same = match stream.get_ref().1.handshake_kind().unwrap() {
                    HandshakeKind::FullWithHelloRetryRequest => HandshakeKind::Full,
                    kind => kind,
                };
                assert_eq!(same, kind, "{asks} {version:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_of_the_client_is_asked_for_on_the_metrics_port_too() {
    let files = Files::new("metrics-clients");
    let ca = files.authority.pem();
    let client = files.authority.client(&[NAME]);
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.asking(true));
        settings.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let harness = Harness::connecting(change, |builder| client.identify(builder.trusting(ca.as_bytes()))).await;
    let metrics = harness.metrics_address.unwrap().to_string();
    let get = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let identified = Dial::identified(&ca, &client);
    let (answer, _) = exchange(&mut identified.connect(&metrics).await.unwrap(), get).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let mut unknown = Dial::trusting(&ca).connect(&metrics).await.unwrap();
    let (answer, ended) = exchange(&mut unknown, get).await;
    assert_eq!(answer, b"");
    assert!(ended.unwrap_err().to_string().contains("CertificateRequired"));
}

#[tokio::test]
async fn a_certificate_identifies_a_caller_by_its_one_uri() {
    let files = Files::new("callers");
    let (ca, known) = (files.authority.pem(), files.authority.client(&[NAME]));
    let caller = CallerSettings {
        name: "billing".to_owned(),
        tenant: "billing".to_owned(),
        certificates: vec![NAME.to_owned()],
        ..CallerSettings::default()
    };
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.asking(false));
        settings.identity = IdentitySettings { callers: vec![caller], ..IdentitySettings::default() };
    };
    let harness = Harness::connecting(change, |builder| known.identify(builder.trusting(ca.as_bytes()))).await;
    is_served(&harness).await;
    let (unknown, two) = ("spiffe://example.org/billing/", "spiffe://example.org/other");
    for (uris, said) in [
        (Some(&[unknown][..]), "CREDENTIALS_INVALID: the client certificate is not valid at this server"),
        (Some(&[NAME, two]), "CREDENTIALS_INVALID: the client certificate has 2 URI SANs; exactly one is needed"),
        (Some(&[]), "CREDENTIALS_INVALID: the client certificate has 0 URI SANs; exactly one is needed"),
        (None, "CREDENTIALS_MISSING"),
    ] {
        let client = uris.map(|uris| files.authority.client(uris));
        let error = refusal(&harness, &files, client.as_ref()).await;
        assert!(error.starts_with(said), "{uris:?}: {error}");
    }
    assert_eq!(harness.emulator.stats().requests, 1, "that of the caller");
}
