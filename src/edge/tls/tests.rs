//! Tests of the checks of files, of the names of clients, and of a reload that is asked for.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
    generate_simple_self_signed,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

/// A folder with files of TLS, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Settings with these contents; the files of a problem are named by it.
    fn settings(&self, certificate: &str, key: &str, ca: Option<&str>) -> TlsSettings {
        let clients = ca.map(|ca| ClientCertificateSettings { authorities: self.write("ca.pem", ca), required: true });
        let (certificate, key) = (self.write("cert.pem", certificate), self.write("key.pem", key));
        TlsSettings { certificate, key, clients, reload_interval: TlsSettings::RELOAD_INTERVAL }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate for localhost and its key.
fn pair() -> (String, String) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The same, valid in these years.
fn of_years(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn every_problem_of_the_files_says_what_to_do() {
    let folder = Folder::new("problems");
    let ((cert, key), (_, other_key)) = (pair(), pair());
    let (expired, expired_key) = of_years(2020, 2021);
    let (future, future_key) = of_years(2900, 2901);
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let with_expired = format!("{cert}{expired}");
    for (cert, key, ca, said) in [
        ("", key.as_str(), None, "--tls-cert is"),
        ("", &key, None, "has no certificate: it must be PEM, with BEGIN CERTIFICATE"),
        (garbage, &key, None, "whose certificate 1 cannot be read"),
        (&cert[..cert.len() / 2], &key, None, "--tls-cert is"),
        (&cert, &other_key, None, "which is not the key of the first certificate in --tls-cert"),
        (&cert, &cert, None, "has no private key: it must be PEM, with BEGIN PRIVATE KEY"),
        (&cert, &encrypted, None, "has an encrypted key. Decrypt it: openssl pkey"),
        (&cert, &key[..key.len() / 2], None, "--tls-key is"),
        (&expired, &expired_key, None, "whose certificate 1 expired at 2021-01-01T00:00:00Z. Renew it"),
        (&with_expired, &key, None, "whose certificate 2 expired at 2021-01-01T00:00:00Z"),
        (&future, &future_key, None, "is not valid before 2900-01-01T00:00:00Z"),
        (&cert, &key, Some(""), "--tls-client-ca is"),
        (&cert, &key, Some(""), "has no certificate"),
        (&cert, &key, Some(garbage), "--tls-client-ca is"),
    ] {
        let problems = check(&folder.settings(cert, key, ca)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(said), "{said} in {problems:?}");
        assert!(!problems[0].contains(&key[40..60.min(key.len())]), "the key is not shown: {problems:?}");
    }
    check(&folder.settings(&cert, &key, Some(&cert))).unwrap();
}

#[test]
fn all_problems_are_reported_together() {
    let folder = Folder::new("together");
    let large = "x".repeat((1 << 20) + 1);
    let mut settings = folder.settings(&large, "nothing", Some(""));
    let problems = check(&settings).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("which is larger than 1048576 bytes"), "{problems:?}");
    settings.certificate = folder.write("cert.pem", "");
    let problems = check(&settings).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    settings.certificate = folder.0.join("missing");
    fs::set_permissions(&settings.key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(&settings.clients.as_ref().unwrap().authorities).unwrap();
    let problems = check(&settings).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[1].ends_with(&format!("Run: chmod 600 {}", settings.key.display())), "{problems:?}");
}

#[test]
fn an_authority_that_has_expired_is_warned_of() {
    let folder = Folder::new("old-authority");
    let ((cert, key), (expired, _)) = (pair(), of_years(2020, 2021));
    let loaded = load(&folder.settings(&cert, &key, Some(&format!("{cert}{expired}")))).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("certificate 2 expired at 2021"), "{:?}", loaded.warnings);
}

#[tokio::test]
async fn a_reload_says_whether_something_changed_and_keeps_what_works() {
    let folder = Folder::new("reload");
    let ((cert, key), (other_cert, other_key)) = (pair(), of_years(2020, 2999));
    let tls = Tls::load(folder.settings(&cert, &key, None), Metrics::default()).unwrap();
    let expires = || tls.0.current.load().expires;
    let before = expires();
    assert_eq!(tls.reload().await, Ok(false));
    folder.write("cert.pem", &other_cert);
    let problems = tls.reload().await.unwrap_err();
    assert!(problems[0].contains("which is not the key"), "{problems:?}");
    assert_eq!(expires(), before, "nothing has changed");
    folder.write("key.pem", &other_key);
    assert_eq!(tls.reload().await, Ok(true));
    assert_eq!(written(expires()), "2999-01-01T00:00:00Z");
    assert_eq!(tls.reload().await, Ok(false));
}

#[test]
fn a_certificate_is_warned_of_in_its_last_two_weeks() {
    let folder = Folder::new("expiry");
    let (cert, key) = of_years(2020, 2999);
    let tls = Tls::load(folder.settings(&cert, &key, None), Metrics::default()).unwrap();
    let expires = tls.0.current.load().expires;
    let day = Duration::from_hours(24);
    for (now, soon) in
        [(SystemTime::now(), false), (expires - 15 * day, false), (expires - 14 * day, true), (expires + day, true)]
    {
        assert_eq!(tls.0.warn_of_expiry(now), soon, "{}", written(now));
    }
}

/// What the server knows of a client with this certificate after the handshake.
async fn known(uris: &[&str]) -> Option<ClientCertificate> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |names: Vec<SanType>| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &ca).unwrap(), key)
    };
    let (server, server_key) = issue(vec![SanType::DnsName("localhost".try_into().unwrap())]);
    let (client, client_key) = issue(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect());
    let folder = Folder::new(&format!("known-{}", uris.len()));
    let settings = folder.settings(&server.pem(), &server_key.serialize_pem(), Some(&ca.pem()));
    let tls = Tls::load(settings, Metrics::default()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![client.der().clone()],
            PrivateKeyDer::from_pem_slice(client_key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = async {
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap()
    };
    let accept = async { tls.handshake(listener.accept().await.unwrap().0).await.unwrap() };
    let both = async { tokio::join!(connect, accept) };
    let (_connected, accepted) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    accepted.client
}

#[tokio::test]
async fn a_handshake_tells_who_the_client_is_and_two_names_are_none() {
    let name = "spiffe://example.org/billing";
    assert_eq!(known(&[name]).await, Some(ClientCertificate::Name(name.into())));
    let two = known(&[name, "spiffe://example.org/other"]).await;
    let problem = "the client certificate has 2 URI SANs; exactly one is needed";
    assert_eq!(two, Some(ClientCertificate::Problem(problem.into())));
}
