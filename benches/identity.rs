//! What identities cost: the CPU of the server for each call and for each chunk, with callers and with an audit log, as a ratio to a server
//! without callers.
//!
//! Run with `cargo bench --bench identity`. The servers are processes of their own with one scripted Bedrock, rounds are interleaved, and the
//! CPU time is that of the operating system.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark says what it measured, or fails")]

mod figures;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop::identity::key::NewKey;
use outcrop_client::{Client, proto::GenerateRequest};
use tokio::task::JoinSet;

use self::figures::{median, ratio};

const ROUNDS: usize = 9;

/// Calls of a round, and how many run at once.
const CALLS: u32 = 6_000;
const AT_ONCE: u32 = 16;

/// Streams of a round that run at once, and the chunks of each.
const STREAMS: u32 = 8;
const CHUNKS: u32 = 60_000;

/// A server in a process of its own.
struct Server {
    name: &'static str,
    child: Child,
    client: Client,
    calls: Vec<f64>,
    chunks: Vec<f64>,
}

impl Server {
    async fn start(name: &'static str, emulator: &Emulator, flags: &[&str], key: Option<&NewKey>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outcrop"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(flags)
            .env_clear()
            .envs([
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "none"),
                ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = format!("http://{}", line.trim().strip_prefix("listening on ").unwrap());
        let builder = Client::builder(&endpoint);
        let client = match key {
            Some(key) => builder.api_key(key.text().into()).connect().await.unwrap(),
            None => builder.connect().await.unwrap(),
        };
        Self { name, child, client, calls: Vec::new(), chunks: Vec::new() }
    }

    /// The CPU time used so far, in seconds.
    fn cpu(&self) -> f64 {
        // Of all threads, because that of the process is in ticks of 10 ms.
        let of_threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        of_threads.sum::<f64>() / 1e9
    }

    async fn measure(&mut self) {
        let before = self.cpu();
        let left = Arc::new(tokio::sync::Semaphore::new(CALLS as usize));
        self.all(AT_ONCE, "emulator.tiny", left).await;
        self.calls.push((self.cpu() - before) / f64::from(CALLS));
        let before = self.cpu();
        self.all(STREAMS, "emulator.long", Arc::new(tokio::sync::Semaphore::new(STREAMS as usize))).await;
        self.chunks.push((self.cpu() - before) / f64::from(STREAMS * CHUNKS));
    }

    /// Makes calls until none is left, so many at once.
    async fn all(&self, at_once: u32, model: &str, left: Arc<tokio::sync::Semaphore>) {
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let (client, left, model) = (self.client.clone(), left.clone(), model.to_owned());
            tasks.spawn(async move {
                while let Ok(permit) = left.try_acquire() {
                    permit.forget();
                    let request =
                        GenerateRequest { model: model.clone(), prompt: "hi".to_owned(), ..Default::default() };
                    let mut chunks = Box::pin(client.generate(request)).await.unwrap();
                    while chunks.next().await.unwrap().is_some() {}
                }
            });
        }
        tasks.join_all().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::main]
async fn main() {
    let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
    let ending = || [Step::message_stop("end_turn"), Step::metadata(1, 1)];
    emulator.register("tiny", Script::of([Step::text("hi")].into_iter().chain(ending())));
    let chunk = Step::Repeat { times: CHUNKS as usize, steps: vec![Step::text("some words of an answer")] };
    emulator.register("long", Script::of([chunk].into_iter().chain(ending())));
    let folder = std::env::temp_dir().join(format!("outcrop-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (key, config, audit) = (NewKey::generate().unwrap(), folder.join("outcrop.toml"), folder.join("audit.log"));
    let caller =
        format!("[[caller]]\nname = \"bench\"\nkeys = [{{ id = \"{}\", sha256 = \"{}\" }}]\n", key.id(), key.sha256());
    fs::write(&config, caller).unwrap();
    let (config, audit) = (config.to_str().unwrap(), audit.to_str().unwrap());
    let mut servers = [
        Server::start("no callers", &emulator, &[], None).await,
        Server::start("api key", &emulator, &["--config", config], Some(&key)).await,
        Server::start("api key, audit log", &emulator, &["--config", config, "--audit-log", audit], Some(&key)).await,
    ];
    // The first round warms everything up.
    for round in 0..=ROUNDS {
        for server in &mut servers {
            server.measure().await;
            if round == 0 {
                (server.calls, server.chunks) = (Vec::new(), Vec::new());
            }
        }
    }
    let [open, others @ ..] = &servers;
    println!(
        "{:>20} {:>12} {:>28} {:>12} {:>28}",
        "", "CPU/call", "ratio (least to most)", "CPU/chunk", "ratio (least to most)"
    );
    for server in std::iter::once(open).chain(others) {
        let (call, chunk) = (median(&server.calls) * 1e6, median(&server.chunks) * 1e6);
        let (calls, chunks) = (ratio(&server.calls, &open.calls), ratio(&server.chunks, &open.chunks));
        println!("{:>20} {call:>9.1} µs {calls:>28} {chunk:>9.2} µs {chunks:>28}", server.name);
    }
    let _ = fs::remove_dir_all(&folder);
}
