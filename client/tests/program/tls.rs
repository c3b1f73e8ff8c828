//! `https://` is TLS and `http://` is not, and neither becomes the other.

use std::{path::PathBuf, sync::Arc};

use bedrock_emulator::Config;
use outcrop_client::Client;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncWriteExt, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::harness::{Server, TIMEOUT, client, run};

/// A real server, in clear text and behind TLS.
struct Servers {
    plain: Server,
    encrypted: u16,
    certificate: PathBuf,
    _serving: JoinSet<()>,
}

impl Servers {
    async fn start(alpn: &[u8]) -> Self {
        let plain = Server::start(Config { unpaced: true, ..Config::default() }).await;
        let port = plain.port;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let encrypted = listener.local_addr().unwrap().port();
        let certificate = std::env::temp_dir().join(format!("outcrop-client-test-{encrypted}.pem"));
        std::fs::write(&certificate, cert.pem()).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    match acceptor.accept(tcp).into_fallible().await {
                        Ok(mut tls) => {
                            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                            let _ = copy_bidirectional(&mut tls, &mut server).await;
                        }
                        // A client that does not trust the certificate, or speaks no TLS. What it sends is read to its end, because closing
                        // before would reset the connection, and the client might lose the alert.
                        Err((_, mut tcp)) => {
                            let _ = tcp.shutdown().await;
                            let _ = copy(&mut tcp, &mut sink()).await;
                        }
                    }
                });
            }
        });
        Self { plain, encrypted, certificate, _serving: serving }
    }

    fn ca(&self) -> &str {
        self.certificate.to_str().unwrap()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

async fn ask(endpoint: &str, flags: &[&str], environment: &[(&str, &str)]) -> (String, String, Option<i32>) {
    let mut command = client(endpoint, &["hi"]);
    command.envs(environment.iter().copied()).args(flags);
    run(command, "").await
}

#[tokio::test]
async fn https_is_encrypted_and_trusts_what_it_is_told_to_trust() {
    let servers = Servers::start(b"h2").await;
    let (encrypted, ca) = (format!("https://localhost:{}", servers.encrypted), servers.ca());
    for (flags, environment) in [
        (&["--ca", ca][..], &[][..]),
        (&[], &[("OUTCROP_CA", ca)]),
        // What the machine trusts.
        (&[], &[("SSL_CERT_FILE", ca)]),
    ] {
        let (out, err, code) = ask(&encrypted, flags, environment).await;
        assert!(out.starts_with("This is the Bedrock emulator"), "{flags:?} {environment:?}: {err}");
        assert_eq!(code, Some(0));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_of_another_name_is_refused() {
    let (servers, others) = (Servers::start(b"h2").await, Servers::start(b"h2").await);
    let encrypted = format!("https://localhost:{}", servers.encrypted);
    // `--ca` replaces what the machine trusts.
    let (out, err, code) = ask(&encrypted, &["--ca", others.ca()], &[("SSL_CERT_FILE", servers.ca())]).await;
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    assert!(err.contains("is not trusted") && err.contains("--ca FILE"), "{err}");
    let (out, err, code) = ask(&format!("https://127.0.0.1:{}", servers.encrypted), &["--ca", servers.ca()], &[]).await;
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    assert!(err.contains("is not trusted"), "{err}");
}

#[tokio::test]
async fn https_that_meets_clear_text_says_so_and_sends_nothing() {
    let servers = Servers::start(b"h2").await;
    let (out, err, code) =
        ask(&format!("https://127.0.0.1:{}", servers.plain.port), &["--ca", servers.ca()], &[]).await;
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    assert!(err.contains("does not speak TLS") && err.contains("http://"), "{err}");
    assert!(servers.plain.emulator.last_request().is_none());
}

#[tokio::test]
async fn http_that_meets_tls_says_so() {
    let servers = Servers::start(b"h2").await;
    let (out, err, code) = ask(&format!("http://localhost:{}", servers.encrypted), &[], &[]).await;
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    assert!(err.contains("the server speaks TLS") && err.contains("Write https://"), "{err}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let error = timeout(10 * TIMEOUT, Client::connect(&endpoint)).await.expect("it ends").unwrap_err();
    assert!(error.to_string().contains("did not answer in time"), "{error}");
}

#[tokio::test]
async fn tls_without_http2_says_so() {
    let servers = Servers::start(b"http/1.1").await;
    let (_, err, code) = ask(&format!("https://localhost:{}", servers.encrypted), &["--ca", servers.ca()], &[]).await;
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("the TLS handshake failed"), "{err}");
}

#[tokio::test]
async fn an_endpoint_or_an_authority_that_cannot_be_used_ends_with_2() {
    let servers = Servers::start(b"h2").await;
    let (plain, encrypted) = (servers.plain.port.to_string(), format!("https://localhost:{}", servers.encrypted));
    let missing = servers.certificate.with_extension("missing");
    for (endpoint, flags, said) in [
        (format!("localhost:{plain}"), vec!["--ca", servers.ca()], "is not encrypted"),
        (format!("ftp://localhost:{plain}"), vec![], "has another scheme"),
        ("http://".to_owned(), vec![], "is not a URL"),
        (format!("http://127.0.0.1:{plain}"), vec!["--ca", servers.ca()], "is not encrypted"),
        (encrypted.clone(), vec!["--ca", missing.to_str().unwrap()], "cannot read the file of --ca"),
        (encrypted, vec!["--ca", "/dev/null"], "no certificate of an authority"),
    ] {
        let (out, err, code) = ask(&endpoint, &flags, &[]).await;
        assert_eq!((out.as_str(), code), ("", Some(2)), "{endpoint} {flags:?}: {err}");
        assert!(err.contains(said), "{endpoint} {flags:?}: {err}");
    }
    let error = Client::connect(&format!("localhost:{plain}")).await.unwrap_err();
    assert!(error.to_string().contains("has no scheme: write http://"), "the library guesses no scheme: {error}");
}

#[tokio::test]
async fn this_machine_needs_no_scheme() {
    let servers = Servers::start(b"h2").await;
    for host in ["localhost", "127.0.0.1"] {
        let (_, err, code) = ask(&format!("{host}:{}", servers.plain.port), &[], &[]).await;
        assert_eq!(code, Some(0), "{err}");
    }
}
