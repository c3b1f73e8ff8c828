//! The program against a real server: what it prints where, and how it ends.

use bedrock_emulator::Config;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::harness::{Server, TIMEOUT, client, run};

#[tokio::test]
async fn the_answer_is_on_standard_output_and_the_notes_are_not() {
    let server = Server::start(Config::default()).await;
    let (out, err, code) = run(server.client(&["hi"]), "").await;
    assert!(out.starts_with("This is the Bedrock emulator") && out.ends_with("makes of that.\n"), "{out}");
    assert!(err.contains("[end_turn · emulator.default · 1 tokens in, "), "{err}");
    assert_eq!(code, Some(0));
    let (_, err, _) = run(server.client(&["--quiet", "hi"]), "").await;
    assert_eq!(err, "");
}

#[tokio::test]
async fn the_prompt_can_come_from_standard_input() {
    let server = Server::start(Config::default()).await;
    let (out, _, code) = run(server.client(&["-"]), "from a pipe").await;
    assert!(out.contains("“from a pipe”"), "{out}");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn flags_reach_bedrock() {
    let server = Server::start(Config::default()).await;
    let flags =
        ["--model", "a.model", "--system", "be brief", "--max-tokens", "7", "--temperature", "0", "--stop", "END"];
    run(server.client(&[&flags[..], &["hi"]].concat()), "").await;
    let request = server.emulator.last_request().unwrap();
    assert_eq!(request.model_id, "a.model");
    assert_eq!(request.body["system"][0]["text"], "be brief");
    assert_eq!(request.body["inferenceConfig"]["maxTokens"], 7);
    assert_eq!(request.body["inferenceConfig"]["temperature"], 0.0);
    assert_eq!(request.body["inferenceConfig"]["stopSequences"][0], "END");
}

#[tokio::test]
async fn json_is_one_chunk_a_line() {
    let server = Server::start(Config::default()).await;
    let (out, _, code) = run(server.client(&["--json", "hi"]), "").await;
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["sequence"], at);
    }
    assert_eq!(lines[0]["start"]["modelId"], "emulator.default");
    assert_eq!(lines.last().unwrap()["finish"]["stopReason"], "STOP_REASON_END_TURN");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn text_is_flushed_chunk_by_chunk() {
    let server = Server::start(Config::default()).await;
    let mut child = server.client(&["--model", "emulator.endless", "hi"]).spawn().unwrap();
    let mut first = [0; 5];
    timeout(TIMEOUT, child.stdout.as_mut().unwrap().read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"tick ");
}

#[tokio::test]
async fn a_call_that_fails_after_content_keeps_the_text_and_ends_with_7() {
    let server = Server::start(Config::default()).await;
    let (out, err, code) = run(server.client(&["--model", "emulator.exception", "hi"]), "").await;
    assert_eq!(out, "One two three\n");
    assert!(
        err.contains("MODEL_ERROR") && err.contains("not the complete answer") && err.contains("AWS request id"),
        "{err}"
    );
    assert_eq!(code, Some(7));
}

#[tokio::test]
async fn no_server_at_the_endpoint_ends_with_3() {
    // Bound by this test, which does not listen on it, so that no other process gets it.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = bound.local_addr().unwrap();
    let (out, err, code) = run(client(&format!("http://{free}"), &["hi"]), "").await;
    assert_eq!((out.as_str(), code), ("", Some(3)));
    assert!(err.contains(&free.to_string()) && err.contains("Is the server running"), "{err}");
}

#[tokio::test]
async fn wrong_arguments_end_with_2() {
    let (_, err, code) = run(client("http://127.0.0.1:1", &["--max-tokens", "many", "hi"]), "").await;
    assert!(err.contains("--max-tokens"), "{err}");
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn ctrl_c_cancels_the_call_and_ends_with_130() {
    let server = Server::start(Config::default()).await;
    let mut child = server.client(&["--model", "emulator.endless", "hi"]).spawn().unwrap();
    let mut first = [0; 5];
    timeout(TIMEOUT, child.stdout.as_mut().unwrap().read_exact(&mut first)).await.unwrap().unwrap();
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let status = timeout(TIMEOUT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
    timeout(TIMEOUT, server.emulator.wait_until(|stats| stats.abandoned == 1)).await.unwrap();
}

#[tokio::test]
async fn a_reader_who_has_enough_is_no_error() {
    let server = Server::start(Config::default()).await;
    let mut child = server.client(&["--json", "--model", "emulator.endless", "hi"]).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    timeout(TIMEOUT, out.read_line(&mut line)).await.unwrap().unwrap();
    drop(out);
    let output = timeout(TIMEOUT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_timeout_holds_for_the_whole_answer() {
    let server = Server::start(Config::default()).await;
    let (out, err, code) = run(server.client(&["--timeout", "700ms", "--model", "emulator.endless", "hi"]), "").await;
    assert!(out.starts_with("tick "), "{out}");
    assert!(err.contains("was not complete within --timeout") || err.contains("CALLER_DEADLINE"), "{err}");
    assert_eq!(code, Some(7));
}

#[tokio::test]
async fn a_conversation_is_begun_and_gone_on_with() {
    let server = Server::start(Config::default()).await;
    let (_, err, code) = run(server.client(&["--conversation", "new", "My name is Ada."]), "").await;
    assert_eq!(code, Some(0), "{err}");
    let id = err.lines().find_map(|line| line.strip_prefix("[conversation ")?.strip_suffix(']')).unwrap();
    let (_, err, code) = run(server.client(&["--conversation", id, "Who am I?"]), "").await;
    assert_eq!(code, Some(0), "{err}");
    let messages = server.emulator.last_request().unwrap().body["messages"].clone();
    assert_eq!(messages[0]["content"][0]["text"], "My name is Ada.");
    assert_eq!(messages.as_array().unwrap().len(), 3);
    let (_, err, code) = run(server.client(&["--conversation", "none", "hi"]), "").await;
    assert!(code == Some(4) && err.contains("CONVERSATION_NOT_FOUND"), "{err}");
}
