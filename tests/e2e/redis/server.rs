//! A Redis of a test's own, and a cluster of three.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::stores::Folder;

/// Longer than a Redis or a cluster takes to start.
const STARTS: Duration = Duration::from_mins(1);

/// How long a test waits before it looks again.
const LOOK: Duration = Duration::from_millis(20);

/// How often a server starts again when another process took its port.
const TRIES: usize = 20;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real Redis, which ends with this value.
pub(crate) struct Redis {
    process: Child,
    pub(crate) port: u16,
    /// The port that its arguments name.
    pub(crate) other_port: u16,
    folder: Folder,
    arguments: Vec<String>,
}

impl Redis {
    /// `None` if there is none on this machine, which is an error where `CI_REQUIRE_REDIS` is set.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::start_with(name, &[])
    }

    /// With these arguments of `redis-server` too.
    pub(crate) fn start_with(name: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_at(name, |_| arguments.iter().map(|&argument| argument.to_owned()).collect())
    }

    /// With arguments that name another free port.
    pub(crate) fn start_at(name: &str, arguments: impl Fn(u16) -> Vec<String>) -> Option<Self> {
        let folder = Folder::new(name);
        // Another process may take the ports before Redis does.
        for _ in 0..TRIES {
            let (port, other_port) = (free_port(), free_port());
            let arguments = arguments(other_port);
            let Ok(mut process) = launch(port, &folder, &arguments) else {
                let required = std::env::var_os("CI_REQUIRE_REDIS").is_some();
                assert!(!required, "CI_REQUIRE_REDIS is set, and there is no redis-server");
                println!("skipped: there is no redis-server on this machine");
                return None;
            };
            if is_up(&mut process, port) {
                return Some(Self { process, port, other_port, folder, arguments });
            }
        }
        panic!("redis-server does not start")
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The first line of the answer to a command, such as `:1`.
    pub(crate) fn say(&self, command: &str) -> String {
        say(self.port, command).unwrap()
    }

    /// Sends the process a signal, such as `-STOP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// At the same port, which another process may have for a moment.
    pub(crate) fn restart(&mut self) {
        for _ in 0..TRIES {
            self.process = launch(self.port, &self.folder, &self.arguments).unwrap();
            if is_up(&mut self.process, self.port) {
                return;
            }
            sleep(LOOK);
        }
        panic!("redis-server does not start again")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(port: u16, folder: &Folder, arguments: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir", &folder.file(""), "--save", ""]);
    command.args(arguments).stdout(Stdio::null()).spawn()
}

/// Waits until this process listens at the port. `false` if it has ended.
fn is_up(process: &mut Child, port: u16) -> bool {
    let own = format!("process_id:{}\r", process.id());
    let began = Instant::now();
    while process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < STARTS, "redis-server does not answer");
        match inquire(port, "INFO server") {
            // One with a password says so and nothing else.
            Ok(said) if said.contains(&own) || said.starts_with("-NOAUTH") => return true,
            _ => sleep(LOOK),
        }
    }
    false
}

/// The first line of the answer to a command.
fn say(port: u16, command: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// The whole answer to a command.
fn inquire(port: u16, command: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut said = Vec::new();
    connection.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// A real cluster of three nodes without replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) fn start(name: &str) -> Option<Self> {
        let mut nodes = Vec::new();
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for (at, slots) in slots.iter().enumerate() {
            // Redis would take the port 10000 above its own, which may be none.
            let node = Redis::start_at(&format!("{name}-{at}"), |bus| {
                let bus = bus.to_string();
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "15000"]
                    .map(str::to_owned)
                    .to_vec()
            })?;
            assert_eq!(node.say(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
            if let Some(first) = nodes.first() {
                let first: &Redis = first;
                assert_eq!(first.say(&format!("CLUSTER MEET 127.0.0.1 {} {}", node.port, node.other_port)), "+OK");
            }
            nodes.push(node);
        }
        let began = Instant::now();
        let whole = |node: &Redis| {
            let said = inquire(node.port, "CLUSTER INFO").unwrap();
            said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3")
        };
        while !nodes.iter().all(whole) {
            assert!(began.elapsed() < STARTS, "the cluster does not come together");
            sleep(LOOK);
        }
        Some(Self { nodes })
    }

    /// The address of all nodes.
    pub(crate) fn address(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis://{}", nodes.join(","))
    }
}
