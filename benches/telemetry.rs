//! What a collector costs, and that no chunk is later if it hangs or dies: the CPU of the server for each call and for each chunk, the gaps
//! between chunks while calls fill the queue of spans, and the memory, each as a ratio to a server without a collector.
//!
//! Run with `cargo bench --bench telemetry`. The servers are processes of their own with one scripted Bedrock, rounds are interleaved, and the
//! CPU time is that of the operating system.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark says what it measured, or fails")]

mod figures;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bedrock_emulator::{Config, Emulator, Script, Step};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use outcrop_client::{Client, proto::GenerateRequest};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use self::figures::{median, ratio};

const ROUNDS: usize = 7;

/// Calls of a round, and how many run at once.
const CALLS: usize = 4_000;
const AT_ONCE: usize = 16;

/// Streams of a round that run at once, and the chunks of each.
const STREAMS: usize = 8;
const CHUNKS: usize = 40_000;

/// Streams with a chunk every 10 ms, and the chunks of each. Calls run beside them, a few thousand a round.
const PACED: usize = 50;
const TICKS: usize = 200;

/// A server in a process of its own, and what it took in each round.
struct Server {
    name: &'static str,
    child: Child,
    client: Client,
    calls: Vec<f64>,
    chunks: Vec<f64>,
    /// The gap between chunks that half of them exceed, and one in a hundred, in seconds.
    usual_gaps: Vec<f64>,
    long_gaps: Vec<f64>,
}

impl Server {
    async fn start(name: &'static str, emulator: &Emulator, collector: Option<&str>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outcrop"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error"])
            .args(collector.map(|endpoint| format!("--otlp-endpoint={endpoint}")))
            .env_clear()
            .envs([
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "none"),
                ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
                ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = format!("http://{}", line.trim().strip_prefix("listening on ").unwrap());
        let client = Client::builder(&endpoint).connect().await.unwrap();
        let [calls, chunks, usual_gaps, long_gaps] = [const { Vec::new() }; 4];
        Self { name, child, client, calls, chunks, usual_gaps, long_gaps }
    }

    /// The CPU time used so far, in seconds, of all threads.
    fn cpu(&self) -> f64 {
        let of_threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        of_threads.sum::<f64>() / 1e9
    }

    /// The most memory that it had, in MiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<f64>().unwrap() / 1024.0
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    async fn measure(&mut self) {
        let before = self.cpu();
        self.all(AT_ONCE, "emulator.tiny", CALLS).await;
        self.calls.push((self.cpu() - before) / CALLS as f64);
        let before = self.cpu();
        self.all(STREAMS, "emulator.long", STREAMS).await;
        self.chunks.push((self.cpu() - before) / (STREAMS * CHUNKS) as f64);
        let mut gaps = self.gaps_beside_calls().await;
        gaps.sort();
        let at = |thousandth: usize| gaps[gaps.len() * thousandth / 1000].as_secs_f64();
        self.usual_gaps.push(at(500));
        self.long_gaps.push(at(990));
    }

    /// Makes so many calls, so many at once.
    async fn all(&self, at_once: usize, model: &str, calls: usize) {
        let left = Arc::new(Semaphore::new(calls));
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let (client, left, model) = (self.client.clone(), left.clone(), model.to_owned());
            tasks.spawn(async move {
                while let Ok(permit) = left.try_acquire() {
                    permit.forget();
                    gaps(&client, &model).await;
                }
            });
        }
        tasks.join_all().await;
    }

    /// The gaps between the chunks of paced streams, while other calls begin and end.
    async fn gaps_beside_calls(&self) -> Vec<Duration> {
        let mut paced = JoinSet::new();
        for _ in 0..PACED {
            let client = self.client.clone();
            paced.spawn(async move { gaps(&client, "emulator.ticking").await });
        }
        let mut others = JoinSet::new();
        for _ in 0..4 {
            let client = self.client.clone();
            others.spawn(async move {
                loop {
                    gaps(&client, "emulator.tiny").await;
                    sleep(Duration::from_millis(1)).await;
                }
            });
        }
        let all = paced.join_all().await.concat();
        others.shutdown().await;
        all
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a call, and tells the gaps between its chunks.
async fn gaps(client: &Client, model: &str) -> Vec<Duration> {
    let request = GenerateRequest { model: model.to_owned(), prompt: "hi".to_owned(), ..GenerateRequest::default() };
    let mut chunks = Box::pin(client.generate(request)).await.unwrap();
    let (mut gaps, mut last) = (Vec::new(), None);
    while chunks.next().await.unwrap().is_some() {
        let now = Instant::now();
        gaps.extend(last.replace(now).map(|last| now - last));
    }
    // `start` and the first content are sent together, and so are the last two.
    gaps.drain(..1);
    gaps.truncate(gaps.len().saturating_sub(1));
    gaps
}

/// A collector that takes everything.
#[derive(Clone)]
struct Taking;

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Taking {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Starts the three collectors: one takes everything, one accepts and never answers, one dies again and again.
async fn collectors(tasks: &mut JoinSet<()>) -> [String; 3] {
    let [takes, hangs, dies] = [listener().await, listener().await, listener().await];
    let endpoints = [&takes, &hangs, &dies].map(|at| format!("http://{}", at.local_addr().unwrap()));
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Taking))
        .add_service(MetricsServiceServer::new(Taking))
        .serve_with_incoming(TcpListenerStream::new(takes));
    tasks.spawn(async move { serving.await.unwrap() });
    tasks.spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(hangs.accept().await.unwrap());
        }
    });
    tasks.spawn(async move {
        loop {
            let (connection, _) = dies.accept().await.unwrap();
            sleep(Duration::from_millis(100)).await;
            drop(connection);
        }
    });
    endpoints
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::main]
async fn main() {
    let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
    let ending = || [Step::message_stop("end_turn"), Step::metadata(1, 1)];
    emulator.register("tiny", Script::of([Step::text("hi")].into_iter().chain(ending())));
    let chunk = Step::Repeat { times: CHUNKS, steps: vec![Step::text("some words of an answer")] };
    emulator.register("long", Script::of([chunk].into_iter().chain(ending())));
    let tick = Step::Repeat { times: TICKS, steps: vec![Step::text("tick "), Step::WaitMs(10)] };
    emulator.register("ticking", Script::of([tick].into_iter().chain(ending())));
    let mut tasks = JoinSet::new();
    let [takes, hangs, dies] = collectors(&mut tasks).await;
    let mut servers = [
        Server::start("no collector", &emulator, None).await,
        Server::start("it takes everything", &emulator, Some(&takes)).await,
        Server::start("it hangs", &emulator, Some(&hangs)).await,
        Server::start("it dies", &emulator, Some(&dies)).await,
    ];
    // The first round warms everything up.
    for round in 0..=ROUNDS {
        for server in &mut servers {
            server.measure().await;
            if round == 0 {
                for values in [&mut server.calls, &mut server.chunks, &mut server.usual_gaps, &mut server.long_gaps] {
                    values.clear();
                }
            }
        }
    }
    let titles = ["CPU/call", "CPU/chunk", "gap p50", "gap p99"];
    println!("{:>20}{}", "", titles.map(|title| format!(" {title:>10} {:>24}", "ratio")).concat());
    let [without, ..] = &servers;
    for server in &servers {
        let columns = [
            (&server.calls, &without.calls),
            (&server.chunks, &without.chunks),
            (&server.usual_gaps, &without.usual_gaps),
            (&server.long_gaps, &without.long_gaps),
        ];
        let columns = columns.map(|(of, to)| format!(" {:>7.2} µs {:>24}", median(of) * 1e6, ratio(of, to))).concat();
        println!("{:>20}{columns} {:>7.1} MiB", server.name, server.memory());
    }
}
