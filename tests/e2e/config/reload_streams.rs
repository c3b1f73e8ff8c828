//! Everything that a running server can replace, replaced by rewriting its files while 200 streams run over TLS.

use std::{fs, sync::mpsc, time::Duration};

use outcrop_client::{
    Client, ClientError, SecretString,
    proto::{GenerateRequest, InferenceConfiguration, chunk::Event},
};
use outcrop_secret_file::ExposeSecret;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{caller, line_with, log_lines};
use crate::{
    harness::{Outcome, collect, metric, request, soon},
    process::{Serving, outcrop},
    tls::{
        authority::{Files, Issued},
        wire::{Dial, exchange},
    },
};

const STREAMS: usize = 200;

/// The texts of an answer.
const TEXTS: usize = 60;

/// A server with a file and a certificate.
struct Server {
    serving: Serving,
    endpoint: String,
    lines: mpsc::Receiver<String>,
    files: Files,
    ada: (String, SecretString),
}

impl Server {
    fn start() -> Self {
        let (files, ada) = (Files::new("config-reload-streams"), caller("ada"));
        fs::create_dir(files.path("scripts")).unwrap();
        let file = files.path("outcrop.toml");
        fs::write(files.path("scripts/slow.json"), slow().to_string()).unwrap();
        fs::write(&file, format!("{}{}", alias("Be brief.", 9), ada.0)).unwrap();
        let scripts = files.path("scripts");
        let own = ["serve", "--local", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let (flags, more) = (files.flags(), ["--scripts", &scripts, "--config", &file]);
        let flags: Vec<_> = own.into_iter().chain(flags.iter().map(String::as_str)).chain(more).collect();
        let mut serving = Serving::listening(&mut outcrop(&flags));
        let lines = log_lines(&mut serving);
        let endpoint = serving.endpoint.replace("http://", "https://");
        Self { serving, endpoint, lines, files, ada }
    }

    async fn client(&self, key: &SecretString) -> Client {
        let client = Client::builder(&self.endpoint).trusting(self.files.authority.pem().as_bytes());
        soon(client.api_key(key.clone()).connect()).await.unwrap()
    }

    /// The value of a metric.
    async fn metric(&self, key: &SecretString, name: &str) -> u64 {
        let address = format!("https://{}", self.serving.metrics.unwrap());
        let mut stream = Dial::trusting(&self.files.authority.pem()).connect(&address).await.unwrap();
        let key = key.expose_secret();
        let get = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n");
        let (answer, _) = exchange(&mut stream, get.as_bytes()).await;
        metric(&String::from_utf8_lossy(&answer), name, &[])
    }

    async fn shown(&self) -> CertificateDer<'static> {
        Dial::trusting(&self.files.authority.pem()).shown(&self.endpoint).await.unwrap()
    }
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// The script of an answer that lasts about half a minute.
fn slow() -> Value {
    let event = |name: &str, payload: Value| json!({"event": {"type": name, "payload": payload}});
    let text =
        |number| event("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": format!("{number} ")}}));
    let mut steps = vec![event("messageStart", json!({"role": "assistant"}))];
    steps.extend((0..TEXTS).map(text));
    steps.push(event("contentBlockStop", json!({"contentBlockIndex": 0})));
    steps.push(event("messageStop", json!({"stopReason": "end_turn"})));
    steps.push(event("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2}})));
    json!({"pace": {"first_ms": 0, "gap_ms": 500}, "steps": steps})
}

/// The alias `support` with this system prompt and this limit of tokens.
fn alias(system: &str, limit: u32) -> String {
    format!("[alias.support]\nmodel = \"emulator.default\"\nsystem = \"{system}\"\nmax_tokens_limit = {limit}\n")
}

fn asking(tokens: i32) -> GenerateRequest {
    let config = InferenceConfiguration { max_tokens: Some(tokens), ..InferenceConfiguration::default() };
    GenerateRequest { inference_config: Some(config), ..request("support") }
}

/// The reason of a call that is refused. Empty if it is answered.
async fn reason(client: &Client, request: GenerateRequest) -> String {
    match soon(client.generate(request)).await {
        Ok(chunks) => match soon(collect(chunks)).await.result {
            Ok(()) => String::new(),
            Err(error) => panic!("{error}"),
        },
        Err(ClientError::Call(error)) => error.reason,
        Err(error) => panic!("{error}"),
    }
}

/// Opens the streams on several connections. Each is read from its beginning to its end.
async fn run_streams(server: &Server, reading: &watch::Sender<usize>) -> JoinSet<Outcome> {
    let mut running = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.client(&server.ada.1).await);
    }
    for number in 0..STREAMS {
        let (client, reading) = (clients[number % clients.len()].clone(), reading.clone());
        running.spawn(async move {
            let mut chunks = client.generate(request("emulator.slow")).await.unwrap();
            let mut all = vec![chunks.next().await.unwrap().unwrap()];
            reading.send_modify(|reading| *reading += 1);
            loop {
                match chunks.next().await {
                    Ok(Some(chunk)) => all.push(chunk),
                    Ok(None) => return Outcome { chunks: all, result: Ok(()) },
                    Err(error) => return Outcome { chunks: all, result: Err(error) },
                }
            }
        });
    }
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_a_caller_a_limit_and_a_certificate_change_under_200_streams_and_none_drops() {
    let server = Server::start();
    let (ada_key, file) = (server.ada.1.clone(), server.files.path("outcrop.toml"));
    let (reading, mut read) = watch::channel(0);
    let mut streams = run_streams(&server, &reading).await;
    soon(read.wait_for(|reading| *reading == STREAMS)).await.unwrap();
    let client = server.client(&ada_key).await;
    assert_eq!(reason(&client, asking(10)).await, "INVALID_REQUEST", "the alias allows 9");
    let old = server.shown().await;

    // All at once: a new caller, who may read the metrics; another alias and another limit; another certificate.
    let ((ada, _), (eve, eve_key)) = (&server.ada, caller("eve"));
    let limits = format!("max_streams_per_caller = {STREAMS}\n");
    let eve = format!("{eve}methods = [\"Generate\", \"metrics\"]\nmodels = [\"support\"]\n");
    fs::write(&file, format!("{limits}{}{ada}{eve}", alias("Be long.", 20))).unwrap();
    let renewed = server.files.authority.server();
    server.files.write(&renewed);
    assert!(line_with(&server.lines, "the configuration file was read again").contains("generation=2"));
    soon(async {
        while server.shown().await == old {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(server.shown().await, der(&renewed));
    let eve_client = server.client(&eve_key).await;
    assert_eq!(reason(&eve_client, asking(10)).await, "", "a new caller and a new alias");
    assert_eq!(reason(&eve_client, asking(21)).await, "INVALID_REQUEST");
    assert_eq!(reason(&eve_client, request("emulator.default")).await, "PERMISSION_DENIED");
    assert_eq!(reason(&client, request("support")).await, "LOCAL_LIMIT", "all streams that a caller may have run");

    // Files that cannot be used change nothing, and say so.
    fs::write(&file, format!("max_streams = 0\n{}{ada}", alias("", 20))).unwrap();
    for problem in ["alias.support.system is blank", "max_streams is 0"] {
        assert!(line_with(&server.lines, problem).contains("The settings stay the same"));
    }
    server.files.write(&Issued { certificate: "half".to_owned(), ..renewed.clone() });
    line_with(&server.lines, "cannot be used, so connections use those from before");
    assert_eq!(server.shown().await, der(&renewed));
    let counted = [
        server.metric(&eve_key, "config_generation").await,
        server.metric(&eve_key, "config_reloads_failed_total").await,
    ];
    assert_eq!(counted, [2, 1]);
    assert_eq!(reason(&eve_client, asking(20)).await, "");
    assert_eq!(server.metric(&eve_key, "streams_running").await, STREAMS as u64, "all streams still run");

    while let Some(outcome) = streams.join_next().await {
        let chunks = outcome.unwrap().whole();
        let texts = chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Text(_)))).count();
        assert_eq!(texts, TEXTS, "nothing of an answer is missing");
    }
    assert_eq!(reason(&client, asking(20)).await, "", "there is room again");
    assert_eq!(server.metric(&eve_key, "streams_failed_total").await, 0);
}
