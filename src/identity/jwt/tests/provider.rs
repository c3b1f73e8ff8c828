//! An issuer over HTTPS on loopback. It answers as a test says, and counts requests.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Algorithm, IssuerSettings};

/// The path of the JWK set.
pub(super) const KEYS: &str = "/keys";

/// The path of the discovery document.
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the issuer answers to a path.
#[derive(Clone)]
pub(super) enum Answer {
    /// A JSON document, with more header lines.
    Json(Value, &'static str),
    /// A status line, header lines and a body.
    Text(&'static str, String),
    /// A body that does not end, sent slowly.
    Dribble,
    /// A body that does not end, sent fast.
    Endless,
    /// The connection ends in the middle of the body.
    Cut,
    /// Nothing, while the semaphore has no permit; then the JSON document.
    Gated(Arc<Semaphore>, Value),
}

/// The issuer.
pub(super) struct Provider {
    pub(super) url: String,
    ca: Vec<u8>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    hits: Mutex<HashMap<String, usize>>,
    open: AtomicUsize,
}

impl Provider {
    /// An issuer that publishes these keys, with discovery.
    pub(super) async fn start(keys: &[Value]) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&shared)));
        let provider = Self { url, ca: certified.cert.pem().into_bytes(), shared, _tasks: tasks };
        provider.publish(keys);
        let uri = format!("{}{KEYS}", provider.url);
        provider.answer(DISCOVERY, Answer::Json(json!({"issuer": provider.url, "jwks_uri": uri}), ""));
        provider
    }

    /// Replaces the keys.
    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer(KEYS, Answer::Json(json!({ "keys": keys }), ""));
    }

    pub(super) fn answer(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().insert(path.to_owned(), answer);
    }

    /// The number of requests to this path.
    pub(super) fn hits(&self, path: &str) -> usize {
        self.shared.hits.lock().get(path).copied().unwrap_or_default()
    }

    /// The number of connections that were made to it, of any kind.
    pub(super) fn all_hits(&self) -> usize {
        self.shared.hits.lock().values().sum()
    }

    /// The number of open connections.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The settings of a server that trusts it.
    pub(super) fn settings(&self) -> IssuerSettings {
        IssuerSettings {
            issuer: self.url.clone(),
            audiences: vec!["outcrop".to_owned()],
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            jwks_uri: None,
            ca: Some(self.ca.clone()),
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            // A client that leaves ends its connection, which is no failure of a test.
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = serve(stream, &shared).await;
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 1_024];
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    *shared.hits.lock().entry(path.clone()).or_default() += 1;
    let answer = shared.answers.lock().get(&path).cloned();
    match answer.unwrap_or(Answer::Text("404 Not Found\r\n", String::new())) {
        Answer::Json(json, headers) => write(&mut stream, &format!("200 OK\r\n{headers}"), &json.to_string()).await?,
        Answer::Text(head, body) => write(&mut stream, head, &body).await?,
        Answer::Dribble => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                sleep(Duration::from_millis(20)).await;
            }
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 16 << 10]).await?;
            }
        }
        Answer::Cut => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":").await?,
        Answer::Gated(gate, json) => {
            // The client may leave before the gate opens.
            let mut buffer = [0; 1];
            tokio::select! {
                permit = gate.acquire() => drop(permit.unwrap()),
                _ = stream.read(&mut buffer) => return Ok(()),
            }
            write(&mut stream, "200 OK\r\n", &json.to_string()).await?;
        }
    }
    stream.shutdown().await
}

async fn write(stream: &mut TlsStream<TcpStream>, head: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    stream.write_all(format!("HTTP/1.1 {head}content-length: {length}\r\n\r\n{body}").as_bytes()).await
}
