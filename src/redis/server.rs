//! A real Redis for a test.

#![expect(clippy::print_stdout, reason = "what was skipped")]

use std::{
    fs,
    io::{self, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{address::RedisSettings, connection::Connection};

/// How often it starts again when another process has taken its port.
const TRIES: usize = 20;

/// A Redis of a test's own, which stores nothing on disk. Its folder is removed with it.
pub(crate) struct Server {
    process: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// `None` if there is none on this machine, which is an error where `CI_REQUIRE_REDIS` is set.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// With these arguments of `redis-server` too.
    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        // Another process may take the port before Redis does.
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = std::env::temp_dir().join(format!("outcrop-test-redis-{}-{port}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let Ok(process) = launch(port, &folder, &arguments) else {
                let required = std::env::var_os("CI_REQUIRE_REDIS").is_some();
                assert!(!required, "CI_REQUIRE_REDIS is set, and there is no redis-server");
                println!("skipped: there is no redis-server on this machine");
                return None;
            };
            let mut server = Self { process, port, folder, arguments: arguments.clone() };
            if server.is_up() {
                return Some(server);
            }
        }
        panic!("redis-server does not start")
    }

    /// Ends the process at once.
    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, empty, at the same port.
    pub(crate) fn restart(&mut self) {
        for _ in 0..TRIES {
            self.stop();
            self.process = launch(self.port, &self.folder, &self.arguments).unwrap();
            if self.is_up() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not start again")
    }

    /// Waits until this process answers at the port. `false` if it has ended.
    fn is_up(&mut self) -> bool {
        let own = format!("process_id:{}\r", self.process.id());
        while self.process.try_wait().unwrap().is_none() {
            if self.ask("INFO server").is_ok_and(|said| said.contains(&own)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// A new connection to it.
    pub(crate) fn connection(&self) -> Connection {
        Connection::new(RedisSettings::at(format!("redis://127.0.0.1:{}", self.port)))
    }

    fn ask(&self, command: &str) -> io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
        io::read_to_string(connection)
    }

    /// The answer to a command.
    pub(crate) fn say(&self, command: &str) -> String {
        self.ask(command).unwrap()
    }

    /// The sum of the numbers after this name in `INFO`.
    pub(crate) fn info(&self, name: &str) -> u64 {
        let said = self.say("INFO everything");
        let numbers = said.split([',', '\r', '\n']).filter_map(|field| field.rsplit_once(name));
        numbers.filter_map(|(_, number)| number.parse::<u64>().ok()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &Path, arguments: &[String]) -> io::Result<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder);
    command.args(arguments).stdout(Stdio::null()).spawn()
}
