//! The program `outcrop` as a person or a supervisor runs it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use outcrop_client::Client;

use crate::harness::{collect, request, soon};

/// The program in an environment with nothing in it.
fn outcrop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcrop"));
    // The metadata service of EC2 is the last of the chain to be asked, and nobody answers here.
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent").args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> (String, String, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

/// A running server, killed if the test fails.
pub(crate) struct Serving {
    child: Child,
    pub(crate) endpoint: String,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        Self::listening(&mut outcrop(&[&["serve", "--local", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    /// Without `--local`, in this environment.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut command = outcrop(&["serve", "--listen", "127.0.0.1:0", "--log", "off"]);
        Self::listening(command.envs(environment.iter().copied()))
    }

    fn listening(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { endpoint: format!("http://{address}"), child }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_streams_the_story_and_leaves() {
    let (out, err, code) = run(&mut outcrop(&["demo", "Write a story about two cats that go on an adventure:"]));
    assert!(out.starts_with("Pepper and Moss") && out.ends_with("holds it open.\n"), "{out}");
    assert!(err.contains("end_turn"), "{err}");
    assert_eq!(code, Some(0));
}

#[test]
fn without_region_and_credentials_it_says_what_to_set_and_does_not_fall_back() {
    let (out, err, code) = run(&mut outcrop(&["serve", "--listen", "127.0.0.1:0"]));
    for part in [
        "no AWS region",
        "AWS_REGION",
        "no AWS credentials",
        "AWS_ACCESS_KEY_ID",
        "AWS_BEARER_TOKEN_BEDROCK",
        "--local",
    ] {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!((out.as_str(), code), ("", Some(2)));
}

#[test]
fn wrong_settings_are_reported_together_with_what_aws_lacks() {
    let (_, err, code) = run(outcrop(&["serve", "--listen", "nowhere"]).env("OUTCROP_ATTEMPTS", "none"));
    for part in ["--listen is \"nowhere\"", "--attempts is \"none\"", "no AWS region", "no AWS credentials"] {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!(code, Some(2));
}

#[test]
fn a_port_in_use_is_said_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_, err, code) = run(&mut outcrop(&["serve", "--local", "--listen", &address]));
    assert!(err.contains(&address) && err.contains("--listen"), "{err}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn sigterm_lets_fifty_running_streams_end_and_the_process_ends_well() {
    let mut serving = Serving::start(&[]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let chunks = soon(client.generate(request(""))).await.unwrap();
        running.spawn(collect(chunks));
    }
    serving.signal("-TERM");
    let refused = soon(async {
        loop {
            if let Err(error) = client.generate(request("")).await {
                return error.to_string();
            }
        }
    });
    assert!(refused.await.starts_with("DRAINING"));
    while let Some(outcome) = soon(running.join_next()).await {
        outcome.unwrap().whole();
    }
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_what_is_left() {
    let mut serving = Serving::start(&["--grace", "1h"]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let mut chunks = soon(client.generate(request("emulator.endless"))).await.unwrap();
    serving.signal("-INT");
    soon(async { while client.generate(request("")).await.is_ok() {} }).await;
    serving.signal("-INT");
    let error = soon(async {
        loop {
            if let Err(error) = chunks.next().await {
                return error;
            }
        }
    });
    assert!(error.await.to_string().contains("DRAINING"));
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn prompts_and_completions_are_in_no_log_line() {
    let mut serving = Serving::start(&["--log", "trace"]);
    // Read all the time: a full pipe would stop the server.
    let stderr = serving.child.stderr.take().unwrap();
    let log = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let mut secret = request("");
    secret.prompt = "swordfish".to_owned();
    let mut chunks = soon(client.generate(secret)).await.unwrap();
    while soon(chunks.next()).await.unwrap().is_some() {}
    let mut refused = request("emulator.default");
    refused.messages = vec![outcrop_client::proto::Message::default()];
    refused.prompt = "swordfish".to_owned();
    soon(client.generate(refused)).await.unwrap_err();
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let log = log.join().unwrap();
    assert!(log.contains("finished") && log.contains("INVALID_REQUEST"), "{log}");
    assert!(!log.contains("swordfish") && !log.contains("emulator answering"), "{log}");
}
