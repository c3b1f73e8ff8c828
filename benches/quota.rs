//! What a reservation costs: the CPU of the server for a tiny call without a quota, with one in the process, and with one that servers share
//! through Redis, and the commands that Redis gets meanwhile.
//!
//! Run with `cargo bench --bench quota`. The servers are processes of their own with one scripted Bedrock, rounds are interleaved, and the CPU
//! time is that of the operating system. Without a `redis-server` the shared one is left out.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark says what it measured, or fails")]

mod figures;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop_client::{Client, proto::GenerateRequest};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use self::figures::{median, ratio};

const ROUNDS: usize = 9;

/// Calls of a round, and how many run at once.
const CALLS: usize = 3_000;
const AT_ONCE: usize = 16;

/// A quota that no round uses up, and one for requests and streams too.
const QUOTA: &str = "[[quota]]\nmodel = \"emulator.tiny\"\ntokens_per_minute = 9_000_000_000\nrequests_per_minute = 9_000_000\nstreams = 5_000\nmax_tokens = 100\n";

/// A server in a process of its own, and the CPU time of a call in each round, in seconds.
struct Server {
    name: &'static str,
    child: Child,
    client: Client,
    calls: Vec<f64>,
}

impl Server {
    async fn start(name: &'static str, emulator: &Emulator, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outcrop"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error"])
            .args(arguments)
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
        let client = Client::builder(&endpoint).connect().await.unwrap();
        Self { name, child, client, calls: Vec::new() }
    }

    /// The CPU time used so far, in seconds, of all threads.
    fn cpu(&self) -> f64 {
        let of_threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        of_threads.sum::<f64>() / 1e9
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    async fn measure(&mut self) {
        let before = self.cpu();
        let left = Arc::new(Semaphore::new(CALLS));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (client, left) = (self.client.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                while let Ok(permit) = left.try_acquire() {
                    permit.forget();
                    call(&client).await;
                }
            });
        }
        tasks.join_all().await;
        self.calls.push((self.cpu() - before) / CALLS as f64);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn call(client: &Client) {
    let (model, prompt) = ("emulator.tiny".to_owned(), "hi".to_owned());
    let request = GenerateRequest { model, prompt, ..GenerateRequest::default() };
    let mut chunks = Box::pin(client.generate(request)).await.unwrap();
    while chunks.next().await.unwrap().is_some() {}
}

/// A Redis for the benchmark.
struct Redis {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Redis {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("outcrop-bench-quota-{port}"));
        fs::create_dir_all(&folder).ok()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "no"]);
        command.args(["--dir", &folder.to_string_lossy(), "--save", ""]);
        let process = command.stdout(Stdio::null()).spawn().ok()?;
        let redis = Self { process, port, folder };
        while redis.commands().is_none() {
            thread::sleep(Duration::from_millis(50));
        }
        Some(redis)
    }

    /// The commands that it has processed.
    fn commands(&self) -> Option<u64> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        connection.write_all(b"INFO stats\r\nQUIT\r\n").ok()?;
        let mut said = String::new();
        connection.read_to_string(&mut said).ok()?;
        let line = said.lines().find_map(|line| line.strip_prefix("total_commands_processed:"))?;
        line.trim().parse().ok()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::main]
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
async fn main() {
    let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
    let ending = [Step::message_stop("end_turn"), Step::metadata(1, 1)];
    emulator.register("tiny", Script::of([Step::text("hi")].into_iter().chain(ending)));
    let config = std::env::temp_dir().join(format!("outcrop-bench-quota-{}.toml", std::process::id()));
    fs::write(&config, QUOTA).unwrap();
    let path = config.to_string_lossy().into_owned();
    let redis = Redis::start();
    let mut servers = vec![
        Server::start("no quota", &emulator, &[]).await,
        Server::start("a quota", &emulator, &["--config", &path]).await,
    ];
    if let Some(redis) = &redis {
        let address = format!("redis://127.0.0.1:{}/0", redis.port);
        let arguments = ["--config", &path, "--conversations", &address];
        servers.push(Server::start("a shared quota", &emulator, &arguments).await);
        // A new table lets no share grow for 5 s.
        sleep(Duration::from_secs(7)).await;
    }
    let (mut rounds_of_shared, mut commands) = (0_usize, 0);
    // The first round warms everything up.
    for round in 0..=ROUNDS {
        for server in &mut servers {
            let before = redis.as_ref().and_then(Redis::commands);
            server.measure().await;
            if round == 0 {
                server.calls.clear();
            } else if server.name == "a shared quota" {
                rounds_of_shared += 1;
                let after = redis.as_ref().and_then(Redis::commands);
                commands += after.zip(before).map_or(0, |(after, before)| after - before);
            }
        }
    }
    let base = servers[0].calls.clone();
    println!("{:<16} {:>14} {:>12}  ratio", "", "CPU/call", "more");
    for Server { name, calls, .. } in &servers {
        let (call, more) = (median(calls) * 1e6, (median(calls) - median(&base)) * 1e6);
        println!("{name:<16} {call:>11.1} µs {more:>9.1} µs  {}", ratio(calls, &base));
    }
    if rounds_of_shared > 0 {
        let of_a_call = commands as f64 / (rounds_of_shared * CALLS) as f64;
        println!(
            "Redis gets {of_a_call:.4} commands for each call of the shared one, those of the measurement included"
        );
    }
    let _ = fs::remove_file(config);
}
