//! How failures end: the exit code of their class, the object of `--json`, and retries that the server allows.

use bedrock_emulator::{Config, Script, Step};
use serde_json::{Value, json};

use crate::harness::{Server, client, run};

fn throttled() -> Script {
    Script::refuse(429, "ThrottlingException", "slow down")
}

fn answer() -> Script {
    let steps = [Step::message_start(), Step::text("whole"), Step::message_stop("end_turn"), Step::metadata(1, 1)];
    Script::of(steps)
}

fn last_line(out: &str) -> Value {
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

#[tokio::test]
async fn each_class_of_failure_has_its_exit_code_and_its_json() {
    let server = Server::start(Config::default()).await;
    let emulator = &server.emulator;
    let throttled = emulator.register("throttled", throttled());
    let denied = emulator.register("denied", Script::refuse(403, "AccessDeniedException", "not yours"));
    let refused = emulator.register("refused", Script::refuse(400, "ValidationException", "no such thing"));
    for (model, exit, grpc, reason, phase, delay) in [
        (throttled.as_str(), 6, "RESOURCE_EXHAUSTED", "BEDROCK_THROTTLED", "before_content", json!(1.0)),
        (&denied, 5, "PERMISSION_DENIED", "BEDROCK_ACCESS_DENIED", "before_content", Value::Null),
        (&refused, 4, "INVALID_ARGUMENT", "BEDROCK_VALIDATION", "before_content", Value::Null),
        ("emulator.exception", 7, "UNAVAILABLE", "MODEL_ERROR", "after_content", json!(0.5)),
    ] {
        let (_, err, code) = run(server.client(&["--model", model, "hi"]), "").await;
        assert_eq!(code, Some(exit), "{model}: {err}");
        let (out, err, code) = run(server.client(&["--json", "--model", model, "hi"]), "").await;
        assert_eq!(code, Some(exit), "{model}: {err}");
        let error = last_line(&out)["error"].clone();
        let read = ["exitCode", "code", "reason", "phase", "retryDelaySeconds"].map(|key| error[key].clone());
        assert_eq!(read, [json!(exit), json!(grpc), json!(reason), json!(phase), delay], "{error}");
        assert_eq!(error["metadata"]["model_id"], model, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        assert!(error["requestId"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn the_json_of_an_invalid_request_has_its_violations() {
    let server = Server::start(Config::default()).await;
    let (out, err, code) = run(server.client(&["--json", "--temperature", "7", "--top-p=-1", "hi"]), "").await;
    assert_eq!(code, Some(4), "{err}");
    let error = last_line(&out)["error"].clone();
    assert_eq!(error["reason"], "INVALID_REQUEST", "{error}");
    let fields: Vec<_> = error["violations"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
    assert_eq!(fields, ["inference_config.temperature", "inference_config.top_p"], "{error}");
}

#[tokio::test]
async fn failures_without_a_server_have_their_json_too() {
    let (out, _, code) = run(client("http://127.0.0.1:1", &["--json", "hi"]), "").await;
    let error = last_line(&out)["error"].clone();
    assert_eq!((code, &error["exitCode"], &error["code"]), (Some(3), &json!(3), &json!("UNAVAILABLE")), "{error}");
    assert_eq!(out.lines().count(), 1);
    let (out, _, code) = run(client("http://127.0.0.1:1", &["--json", "--ca", "/missing", "hi"]), "").await;
    assert_eq!((code, &last_line(&out)["error"]["code"]), (Some(2), &Value::Null));
}

#[tokio::test]
async fn a_retry_waits_as_the_server_says_and_prints_one_answer() {
    let server = Server::start(Config::default()).await;
    let model = server.emulator.register_sequence("later", [throttled(), answer()]);
    let (out, err, code) = run(server.client(&["--retry", "1", "--model", &model, "hi"]), "").await;
    assert_eq!((out.as_str(), code), ("whole\n", Some(0)), "{err}");
    assert!(err.contains("[BEDROCK_THROTTLED: retry 1 of 1 in 1s]"), "{err}");
    let model = server.emulator.register_sequence("later-json", [throttled(), answer()]);
    let (out, err, code) = run(server.client(&["--retry", "1", "--json", "--model", &model, "hi"]), "").await;
    assert_eq!(code, Some(0), "{err}");
    for (at, line) in out.lines().enumerate() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["sequence"], at, "{out}");
    }
}

#[tokio::test]
async fn nothing_is_retried_without_the_flag_or_after_content_or_without_retry_info() {
    let server = Server::start(Config::default()).await;
    let emulator = &server.emulator;
    let cut =
        Script::of([Step::message_start(), Step::text("half"), Step::exception("modelStreamErrorException", "m")]);
    let cut = emulator.register_sequence("cut", [cut, answer()]);
    let refusal = Script::refuse(400, "ValidationException", "no such thing");
    let refused = emulator.register_sequence("refused", [refusal, answer()]);
    let throttled = emulator.register_sequence("once", [throttled(), answer()]);
    for (flags, model, exit, printed) in
        [(&["--retry", "3"][..], &cut, 7, "half\n"), (&["--retry", "3"], &refused, 4, ""), (&[], &throttled, 6, "")]
    {
        let (out, err, code) = run(server.client(&[flags, &["--model", model, "hi"]].concat()), "").await;
        assert_eq!((out.as_str(), code), (printed, Some(exit)), "{model}: {err}");
        assert!(!err.contains("retry 1 of"), "{err}");
    }
}
