//! A process with few descriptors: floods of silent sockets, and no descriptor left, cost neither the CPU nor the log.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use outcrop_client::Client;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::{
    harness::{collect, request, soon},
    http2_frames::address,
    process::{Serving, outcrop},
};

/// Over how long the CPU is watched.
pub(crate) const WATCHED: Duration = Duration::from_secs(2);

/// CPU time that an idle server may take meanwhile: a quarter of one core, on a busy machine. A busy loop takes all of it.
pub(crate) const IDLE_TICKS: u64 = 50;

/// A server of which this test knows the log.
struct Logged {
    serving: Serving,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Logged {
    fn start(command: &mut Command) -> Self {
        let mut serving = Serving::listening(command);
        let stderr = serving.child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let written = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                written.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        Self { serving, log, reader }
    }

    fn address(&self) -> SocketAddr {
        address(&self.serving.endpoint)
    }

    fn pid(&self) -> u32 {
        self.serving.child.id()
    }

    async fn ticks_while_watched(&self) -> u64 {
        let before = self.serving.ticks();
        tokio::time::sleep(WATCHED).await;
        self.serving.ticks() - before
    }

    async fn serves(&self) -> bool {
        let Ok(client) = Client::connect(&self.serving.endpoint).await else { return false };
        match client.generate(request("emulator.tools")).await {
            Ok(chunks) => collect(chunks).await.result.is_ok(),
            Err(_) => false,
        }
    }

    /// Waits for a line of the log.
    async fn logged(&self, part: &str) {
        while !self.log.lock().unwrap().contains(part) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the server.
    fn log(mut self) -> String {
        self.serving.signal("-TERM");
        assert_eq!(self.serving.child.wait().unwrap().code(), Some(0));
        self.reader.join().unwrap();
        self.log.lock().unwrap().clone()
    }
}

fn lines(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_silent_sockets_at_256_descriptors_do_not_block_others() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let mut command = Command::new("sh");
    let serve = format!("ulimit -n 256; exec {} serve --local --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_outcrop"));
    let server = Logged::start(command.args(["-c", &serve]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let silent: Vec<_> = (0..2_000).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let ticks = server.ticks_while_watched().await;
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(ticks < IDLE_TICKS, "{ticks} ticks with {} silent sockets", silent.len());
    // The same address is served as soon as the first of them are closed for their silence.
    soon(async {
        while !server.serves().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    println!("{} silent sockets: {ticks} ticks of CPU in {WATCHED:?}, {files} descriptors", silent.len());
    drop(silent);
    let log = server.log();
    assert_eq!(lines(&log, "closing connections because of a limit"), 1, "{log}");
    assert_eq!(lines(&log, "cannot accept"), 0, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_descriptor_it_waits_and_then_accepts_again() {
    let server = Logged::start(&mut outcrop(&["serve", "--local", "--listen", "127.0.0.1:0"]));
    assert!(server.serves().await);
    let pid = Pid::from_raw(server.pid().cast_signed());
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let all_in_use = Rlimit { current: Some(files as u64), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(pid, Resource::Nofile, all_in_use).unwrap();
    // Descriptors of connections that have ended may be free still.
    let waiting: Vec<_> = (0..files + 8).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let ticks = server.ticks_while_watched().await;
    println!("no descriptor left: {ticks} ticks of CPU in {WATCHED:?}");
    assert!(ticks < IDLE_TICKS, "{ticks} ticks");
    prlimit(pid, Resource::Nofile, before).unwrap();
    soon(async { while !server.serves().await {} }).await;
    drop(waiting);
    soon(server.logged("accepting connections again")).await;
    let log = server.log();
    assert_eq!(lines(&log, "cannot accept connections"), 1, "{log}");
    assert_eq!(lines(&log, "accepting connections again"), 1, "{log}");
}
