//! Nothing that a server says has a secret or a prompt in it: every log line at the finest filter, every error, every metric and every line of the
//! audit log of a run in which each kind of credentials is right, wrong, expired and revoked.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use outcrop::identity::key::NewKey;
use outcrop_client::proto::{CreateConversationResponse, GenerateRequest, InferenceConfiguration};
use prost::Message;
use tonic::Code;

use crate::{
    callers::{Answer, Protocol, Wire, unary},
    harness::{request, soon},
    process::{Serving, outcrop, run},
};

const PROMPT: &str = "pineapple-prompt";
const METHODS: &str = "/outcrop.v1.GenerationService";

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-e2e-secrets-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A line for `keys`.
fn line(key: &NewKey, more: &str) -> String {
    format!("{{ id = \"{}\", sha256 = \"{}\"{more} }}", key.id(), key.sha256())
}

/// What all calls of the run were answered, as text.
async fn call_with_everything(endpoint: &str, credentials: &[String]) -> Vec<Answer> {
    let (wire, mut answers) = (Wire::to(endpoint), Vec::new());
    for credential in credentials {
        let authorization = format!("Bearer {credential}");
        for headers in [
            &[("authorization", authorization.as_str())][..],
            &[("x-api-key", credential)],
            &[("authorization", credential)],
            &[("authorization", &authorization), ("x-api-key", credential)],
            &[("cookie", &format!("outcrop={credential}"))],
        ] {
            let asked = GenerateRequest { prompt: PROMPT.to_owned(), ..request("emulator.default") }.encode_to_vec();
            let bad = InferenceConfiguration { temperature: Some(9.0), ..InferenceConfiguration::default() };
            let bad = GenerateRequest { inference_config: Some(bad), ..request(PROMPT) }.encode_to_vec();
            for protocol in [Protocol::Grpc, Protocol::WebOverHttp1] {
                answers.push(wire.call(protocol, &format!("{METHODS}/Generate"), &asked, headers).await);
                answers.push(wire.call(protocol, &format!("{METHODS}/Generate"), &bad, headers).await);
                answers.push(wire.call(protocol, &format!("{METHODS}/Missing"), b"", headers).await);
            }
            // JSON of another form, which its error quotes.
            let quoted = format!(r#"{{"messages": "{PROMPT}"}}"#);
            for message in [&asked, quoted.as_bytes()] {
                wire.call(Protocol::ConnectJson, &format!("{METHODS}/CountTokens"), message, headers).await;
            }
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_error_metric_or_line_of_the_audit_log_has_a_secret_or_a_prompt() {
    let folder = Folder::new();
    let keys = [(); 4].map(|()| NewKey::generate().unwrap());
    let [good, expired, revoked, unknown] = keys.each_ref().map(|key| key.text().to_owned());
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJrdW1xdWF0LXN1YmplY3QifQ.bHljaGVlLXNpZ25hdHVyZQ".to_owned();
    let caller = |first: &str| {
        let keys = [
            line(&keys[0], first),
            line(&keys[1], ", expires = 2020-01-01T00:00:00Z"),
            line(&keys[2], ", disabled = true"),
        ];
        format!("[[caller]]\nname = \"ada\"\nkeys = [{}]\n", keys.join(", "))
    };
    let (config, audit) = (folder.write("outcrop.toml", &caller("")), folder.path("audit.log"));
    let flags = ["--config", &config, "--audit-log", &audit, "--log", "trace", "--metrics-listen", "127.0.0.1:0"];
    let mut serving = Serving::start(&flags);
    let mut log = serving.child.stderr.take().unwrap();
    // Read beside the calls, so that a full pipe blocks no call.
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    let credentials = [good.clone(), expired.clone(), revoked.clone(), unknown.clone(), token.clone()];
    let answers = call_with_everything(&serving.endpoint, &credentials).await;
    assert!(answers.iter().any(|answer| answer.code() == Some(Code::Ok)));
    let headers = [("authorization", format!("Bearer {good}"))];
    let created = unary(&serving.endpoint, "CreateConversation", b"", &headers).await;
    let conversation_id =
        CreateConversationResponse::decode(created.as_slice()).unwrap().conversation.unwrap().conversation_id;
    let turn = GenerateRequest { conversation_id, prompt: PROMPT.to_owned(), ..request("emulator.default") };
    unary(&serving.endpoint, "Generate", &turn.encode_to_vec(), &headers).await;
    // The file is read again: first with a key in place of its hash, and then with the key disabled.
    fs::write(&config, caller("").replace(keys[0].id(), &good)).unwrap();
    let metrics = |wanted: &str| wait_for_metric(serving.metrics.unwrap(), wanted);
    metrics("outcrop_config_reloads_failed_total 1");
    fs::write(&config, caller(", disabled = true")).unwrap();
    let measured = metrics("outcrop_config_generation 2");
    let refused = call_with_everything(&serving.endpoint, std::slice::from_ref(&good)).await;
    assert!(refused.iter().any(|answer| answer.reason() == "CREDENTIALS_REVOKED"));
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let log = soon(reading).await.unwrap().unwrap();
    let printed = run(&mut outcrop(&["config", "--config", &config]));
    let broken = folder.write("broken.toml", &format!("{}api_key = \"{good}\"\n", caller("").replace("ada", &good)));
    let problems = run(&mut outcrop(&["check", "--local", "--config", &broken]));
    let written = fs::read_to_string(Path::new(&audit)).unwrap();
    assert!(written.lines().count() > 20 && log.len() > 10_000, "the run says something");
    let said = [
        ("the log", log),
        ("the audit log", written),
        ("the metrics", measured),
        ("the answers", format!("{answers:?}{refused:?}")),
        ("the effective configuration", format!("{printed:?}")),
        ("the problems of a configuration", format!("{problems:?}")),
    ];
    let secrets = [&good, &expired, &revoked, &unknown].map(|key| key[16..].to_owned());
    let of_token = token.split('.').skip(1).map(str::to_owned);
    for secret in secrets.into_iter().chain(of_token).chain([PROMPT.to_owned()]) {
        for (what, text) in &said {
            assert_without(what, text, &secret);
        }
    }
}

fn assert_without(what: &str, text: &str, secret: &str) {
    let Some(at) = text.find(secret) else { return };
    let around = &text[text.floor_char_boundary(at.saturating_sub(300))..text.ceil_char_boundary(at + 80)];
    // A model that does not exist is named in the answer to its caller.
    let is_own_word = what == "the answers" && secret == PROMPT;
    assert!(is_own_word, "{secret} is in {what}: {around}");
}

/// The metrics, as soon as they have this line.
fn wait_for_metric(address: std::net::SocketAddr, wanted: &str) -> String {
    for _ in 0..600 {
        let mut connection = std::net::TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let text = std::io::read_to_string(connection).unwrap();
        if text.lines().any(|line| line == wanted) {
            return text;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{wanted} is not reached");
}
