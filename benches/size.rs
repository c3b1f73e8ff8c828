//! What a stream costs the server: memory, file descriptors, and processor time for a chunk. docs/size.md has the figures.
//!
//! Run with `cargo bench --bench size`. The server is a process of its own, and the emulator and the callers are here. The emulator has TLS, so that
//! the server calls it over HTTP/2 as it calls Bedrock. `OUTCROP_PROGRAM` names another server, such as one of a release.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark says what it measured, or fails")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop_client::{Chunks, Client, proto::GenerateRequest};
use tokio::{task::JoinSet, time::sleep};

/// The numbers of streams.
const STREAMS: [usize; 4] = [0, 500, 1_000, 2_000];

/// The streams of one connection of a caller.
const STREAMS_OF_CONNECTION: usize = 100;

/// The time between two chunks of a stream.
const PACE: Duration = Duration::from_millis(200);

/// The time for which processor time is counted.
const COUNTED: Duration = Duration::from_secs(10);

/// The processor time in `/proc` has this many ticks in a second.
const TICKS: u32 = 100;

struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(emulator: &Emulator) -> Self {
        let authorities = env::temp_dir().join(format!("outcrop-size-{}.pem", std::process::id()));
        fs::write(&authorities, emulator.certificate().unwrap()).unwrap();
        let program = env::var("OUTCROP_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_outcrop").to_owned());
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--max-streams-per-caller", "10000"])
            .args(["--max-connections-per-address", "1000", "--log", "warn"])
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.endpoint())
            .env("SSL_CERT_FILE", &authorities)
            .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "us-east-1")])
            .env_remove("OUTCROP_PROGRAM")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        fs::remove_file(authorities).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, address }
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }

    /// The resident memory, in KiB.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// The processor time so far.
    fn processor(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
        Duration::from_secs(1) * ticks / TICKS
    }
}

#[tokio::main]
async fn main() {
    let emulator = Emulator::start(Config { tls: true, unpaced: false, ..Config::default() }).await.unwrap();
    let pace = u64::try_from(PACE.as_millis()).unwrap();
    let ticks = Step::Repeat { times: usize::MAX, steps: vec![Step::WaitMs(pace), Step::text("of twelve bytes ")] };
    emulator.register("ticking", Script::of([Step::text("first "), ticks]));
    let server = Server::start(&emulator);
    let (mut running, mut clients) = (JoinSet::new(), Vec::new());
    println!("{:>8} {:>12} {:>14} {:>12} {:>16}", "streams", "memory", "a stream", "descriptors", "cpu a chunk");
    let mut empty = 0;
    for streams in STREAMS {
        while running.len() < streams {
            if running.len() % STREAMS_OF_CONNECTION == 0 {
                clients.push(Client::connect(&format!("http://{}", server.address)).await.unwrap());
            }
            let mut chunks = open(clients.last().unwrap()).await;
            running.spawn(async move { while chunks.next().await.unwrap().is_some() {} });
        }
        let before = server.processor();
        sleep(COUNTED).await;
        let used = server.processor().saturating_sub(before);
        let memory = server.memory();
        if streams == 0 {
            empty = memory;
            println!("{streams:>8} {memory:>8} KiB {:>14} {:>12} {:>16}", "", server.descriptors(), "");
            continue;
        }
        let chunks = u32::try_from(streams).unwrap() * u32::try_from(COUNTED.as_millis() / PACE.as_millis()).unwrap();
        let each = (memory - empty) / streams;
        println!("{streams:>8} {memory:>8} KiB {each:>10} KiB {:>12} {:>16.1?}", server.descriptors(), used / chunks);
    }
    running.shutdown().await;
}

/// A stream that has brought its first text.
async fn open(client: &Client) -> Chunks {
    let request =
        GenerateRequest { model: "emulator.ticking".to_owned(), prompt: "hi".to_owned(), ..GenerateRequest::default() };
    let mut chunks = Box::pin(client.generate(request)).await.unwrap();
    chunks.next().await.unwrap();
    chunks
}
