//! An issuer of tokens, with its keys over HTTPS.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use outcrop::identity::jwt::settings::{Algorithm, IssuerSettings};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// An issuer. It publishes one key, under the id `key`.
pub(crate) struct Issuer {
    pub(crate) settings: IssuerSettings,
    key: Ed25519KeyPair,
    _serving: JoinSet<()>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "key", "x": URL_SAFE_NO_PAD.encode(key.public_key())});
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), json!({"keys": [jwk]}).to_string()));
        let settings = IssuerSettings {
            jwks_uri: Some(format!("{url}/keys")),
            issuer: url,
            audiences: vec!["outcrop".to_owned()],
            algorithms: vec![Algorithm::EdDsa],
            ca: Some(certified.cert.pem().into_bytes()),
        };
        Self { settings, key, _serving: serving }
    }

    /// A token of this subject for an hour, with these claims changed.
    pub(crate) fn token(&self, subject: &str, changes: &Value) -> String {
        self.sign(&json!({"alg": "EdDSA", "kid": "key"}), subject, changes)
    }

    /// A token with any header.
    pub(crate) fn sign(&self, header: &Value, subject: &str, changes: &Value) -> String {
        let mut claims = json!({
            "iss": self.settings.issuer, "aud": "outcrop", "sub": subject, "exp": now() + 3_600, "groups": ["staff"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let text = format!("{}.{}", encode(header), encode(&claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, keys: String) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, keys) = (acceptor.clone(), keys.clone());
        connections.spawn(async move {
            let service = service_fn(|_| {
                let answer = http::Response::new(keys.clone());
                async { Ok::<_, std::convert::Infallible>(answer) }
            });
            let stream = acceptor.accept(stream).await.unwrap();
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
