//! The program `outcrop` as a person or a supervisor runs it.

use std::io::Write;

use outcrop_client::{Client, ClientError};
use tokio::io::AsyncReadExt;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    drain::not_listening,
    harness::{collect, request, soon},
    process::{Serving, outcrop, run},
};

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
    let flags = ["serve", "--listen", "nowhere", "--log", "["];
    let (_, err, code) = run(outcrop(&flags).env("OUTCROP_ATTEMPTS", "none"));
    let problems = ["--listen is \"nowhere\"", "OUTCROP_ATTEMPTS is \"none\"", "--log is \"[\""];
    for part in problems.into_iter().chain(["no AWS region", "no AWS credentials"]) {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!(code, Some(2));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn its_allocator_has_threads_that_give_free_pages_back_after_a_second() {
    let (_, settings, _) = run(outcrop(&["--version"]).env("_RJEM_MALLOC_CONF", "stats_print:true"));
    for setting in ["opt.background_thread: true", "opt.dirty_decay_ms: 1000"] {
        assert!(settings.contains(setting), "{settings}");
    }
}

#[test]
fn the_help_shows_no_password_of_the_environment() {
    let (out, _, code) =
        run(outcrop(&["serve", "--help"]).env("OUTCROP_CONVERSATIONS", "redis://:swordfish@127.0.0.1:6379/0"));
    assert!(out.contains("OUTCROP_CONVERSATIONS") && !out.contains("swordfish"), "{out}");
    assert_eq!(code, Some(0));
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
    not_listening(&serving.endpoint).await;
    while let Some(outcome) = soon(running.join_next()).await {
        outcome.unwrap().whole();
    }
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_running_streams() {
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
async fn the_steps_of_a_shutdown_are_in_the_log_in_their_order() {
    let mut serving = Serving::start(&["--lame-duck", "700ms", "--grace", "300ms"]);
    let stderr = serving.child.stderr.take().unwrap();
    let log = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let mut running = soon(client.generate(request("emulator.endless"))).await.unwrap();
    let mut health = HealthClient::new(
        tonic::transport::Endpoint::from_shared(serving.endpoint.clone()).unwrap().connect().await.unwrap(),
    );
    serving.signal("-TERM");
    soon(async {
        loop {
            let answer = health.check(HealthCheckRequest::default()).await.unwrap();
            if answer.get_ref().status() == ServingStatus::NotServing {
                break;
            }
        }
    })
    .await;
    // A lame duck still serves those who have not noticed.
    soon(client.generate(request("emulator.tools"))).await.unwrap();
    not_listening(&serving.endpoint).await;
    let ended = soon(async {
        loop {
            if let Err(ClientError::Call(error)) = running.next().await {
                return error;
            }
        }
    })
    .await;
    assert_eq!((ended.reason.as_str(), ended.metadata["drain"].as_str()), ("DRAINING", "force"));
    assert_eq!(ended.metadata["phase"], "after_content");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    let log = log.join().unwrap();
    let steps = ["not ready", "lame duck", "GOAWAY", "new calls are refused", "force", "stopped"];
    let places: Vec<_> = steps.iter().map(|step| log.find(step).unwrap_or_else(|| panic!("{step} in {log}"))).collect();
    assert!(places.is_sorted(), "{log}");
}

#[tokio::test]
async fn a_connection_that_is_old_takes_no_new_calls_and_cuts_no_stream() {
    let serving = Serving::start(&["--max-connection-age", "300ms"]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let chunks = soon(client.generate(request("emulator.slow"))).await.unwrap();
    soon(collect(chunks)).await.whole();
    let mut idle = tokio::net::TcpStream::connect(serving.endpoint.trim_start_matches("http://")).await.unwrap();
    assert_eq!(soon(idle.read(&mut [0])).await.unwrap(), 0, "closed by the server, because of its age alone");
    // The library connects anew by itself.
    soon(collect(soon(client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
}

#[tokio::test]
async fn metrics_are_served_where_they_are_wanted() {
    let serving = Serving::start(&["--metrics-listen", "127.0.0.1:0"]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    soon(collect(soon(client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
    let mut connection = std::net::TcpStream::connect(serving.metrics.unwrap()).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(connection).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.contains("outcrop_streams_finished_total{tenant=\"\",model=\"other\"} 1\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn routes_and_limits_that_cannot_work_are_all_said_before_anything_is_bound() {
    let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--max-streams", "0", "--idle-timeout=-5s"];
    let (out, err, code) = run(outcrop(&flags).env("OUTCROP_ROUTES", "a=b;b=a;c=nothing;d=x.y@nowhere"));
    for part in [
        "--max-streams is 0",
        "--idle-timeout is \"-5s\"",
        "OUTCROP_ROUTES a loops: a -> b -> a",
        "names the unknown target \"nothing\"",
        "\"nowhere\" is no AWS region",
    ] {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!((out.as_str(), code), ("", Some(2)));
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
