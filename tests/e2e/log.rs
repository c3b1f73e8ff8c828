//! What is in no log line, whichever filter is set: prompts, completions, credentials.

use std::{
    io::Read,
    process::{Command, Stdio},
};

use bedrock_emulator::{Config, Emulator, Script};
use outcrop_client::{
    Client,
    proto::{InferenceConfiguration, OperationChoice},
};

use crate::{
    harness::{collect, request, soon, text_of},
    process::{Serving, outcrop},
};

const PROMPT: &str = "pineapple-prompt";
const COMPLETION: &str = "mango-completion";
const SECRET: &str = "durian-secret-key";
const TOKEN: &str = "lychee-session-token";

/// The filters that an operator may set, without the names of the SDK's crates.
const FILTERS: [&str; 8] = [
    "trace",
    "debug",
    "outcrop=trace",
    "hyper=trace,hyper_util=trace",
    "h2=trace,tonic=trace,tower=trace,rustls=trace",
    "trace,outcrop_awstats=debug",
    // Spans of the SDK, by their name and by a field: everything inside a span is let through.
    "[invoke]=trace,[try_op]=trace,[try_attempt]=trace,[{rpc.service}]=trace,[{operation}]=trace,info",
    "trace,aws_config=info",
];

fn server(filter: &str, emulator: &Emulator) -> Command {
    let mut command = outcrop(&["serve", "--listen", "127.0.0.1:0", "--log", filter]);
    command.stderr(Stdio::piped()).envs([
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAKUMQUATKUMQUAT00"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", TOKEN),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
    ]);
    command
}

/// Everything that is logged while a server with this filter answers a call, refuses one and shuts down.
async fn logged(filter: &str) -> String {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let model = emulator.register("said", Script::reply(COMPLETION));
    let broken = emulator.register("broken", Script::refuse(400, "ValidationException", PROMPT));
    let mut serving = Serving::listening(&mut server(filter, &emulator));
    let mut log = serving.child.stderr.take().unwrap();
    // Read beside the calls, so that a full pipe blocks no call.
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    let client = Client::connect(&serving.endpoint).await.unwrap();
    for (model, succeeds) in [(&model, true), (&broken, false)] {
        let mut request = request(model);
        request.prompt = PROMPT.into();
        let answered = match soon(client.generate(request)).await {
            Ok(chunks) => text_of(&collect(chunks).await.whole()) == COMPLETION,
            Err(_) => false,
        };
        assert_eq!(answered, succeeds, "{model}");
    }
    let native = emulator.register("native", bedrock_emulator::native_reply("anthropic.claude-v2", COMPLETION));
    let mut request = request(&native);
    request.prompt = PROMPT.into();
    request.model_family = "anthropic-text".into();
    request.inference_config = Some(InferenceConfiguration { max_tokens: Some(9), ..Default::default() });
    request.set_operation(OperationChoice::Native);
    let native = soon(collect(soon(client.generate(request)).await.unwrap())).await.whole();
    assert!(text_of(&native).contains(COMPLETION));
    serving.signal("-TERM");
    drop(client);
    serving.child.wait().unwrap();
    reading.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_that_does_not_name_the_sdk_logs_a_prompt_a_completion_or_a_credential() {
    let mut leaks = Vec::new();
    for filter in FILTERS {
        let log = logged(filter).await;
        if filter == "trace" {
            assert!(log.contains("TRACE"), "the filter has no effect:\n{log}");
        }
        for secret in [PROMPT, COMPLETION, SECRET, TOKEN, "AWS4-HMAC-SHA256", "Signature="] {
            let line = log.lines().find(|line| line.contains(secret));
            leaks.extend(line.map(|line| format!("--log {filter} logs {secret}: {line:.400}")));
        }
        // A body may be logged as its bytes, too.
        let escaped = PROMPT.as_bytes().iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!log.contains(&escaped), "--log {filter} logs the prompt as bytes");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_names_a_crate_of_the_sdk_gets_its_requests() {
    let log = logged("info,aws_smithy_runtime=trace").await;
    assert!(log.contains(PROMPT), "{log}");
}
