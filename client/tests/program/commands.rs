//! The subcommands: their tables, their JSON and their exit codes.

use bedrock_emulator::Config;
use serde_json::Value;
use tokio::{net::TcpListener, process::Command, task::JoinSet};
use tonic::transport::server::TcpIncoming;

use crate::harness::{Server, client, run};

async fn printed(server: &Server, arguments: &[&str]) -> String {
    let (out, err, code) = run(server.client(arguments), "").await;
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    out
}

async fn json(server: &Server, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(server, &[arguments, &["--json"]].concat()).await).unwrap()
}

#[tokio::test]
async fn models_are_a_table_or_the_answer_of_the_server() {
    let server = Server::start(Config::default()).await;
    let table = printed(&server, &["models"]).await;
    let rows: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(rows[0][..2], ["NAME", "KIND"]);
    assert_eq!(rows[1], ["emulator.default", "*", "model"]);
    let listed = json(&server, &["models"]).await;
    assert_eq!(listed["models"][0]["name"], "emulator.default");
    assert_eq!(listed["models"][0]["isDefault"], true);
}

#[tokio::test]
async fn a_count_is_a_number_and_takes_its_prompt_as_a_request_does() {
    let server = Server::start(Config::default()).await;
    let few: u32 = printed(&server, &["count", "hello"]).await.trim_end().parse().unwrap();
    let (out, _, _) = run(server.client(&["count", "hello"]), &"many words ".repeat(50)).await;
    assert!(out.trim_end().parse::<u32>().unwrap() > few + 50, "{out}");
    assert_eq!(json(&server, &["count", "hello"]).await["inputTokens"], few);
}

#[tokio::test]
async fn health_is_the_status_and_the_exit_code() {
    let server = Server::start(Config::default()).await;
    assert_eq!(printed(&server, &["health"]).await, "SERVING\n");
    assert_eq!(printed(&server, &["health", "--service", "outcrop.v1.GenerationService"]).await, "SERVING\n");
    assert_eq!(json(&server, &["health"]).await["status"], "SERVING");
    let (out, _, code) = run(server.client(&["health", "--service", "none"]), "").await;
    assert_eq!((out.as_str(), code), ("", Some(4)));
    let (out, _, code) = run(client("http://127.0.0.1:1", &["health"]), "").await;
    assert_eq!((out.as_str(), code), ("", Some(3)));
}

#[tokio::test]
async fn a_server_that_does_not_serve_ends_health_with_6() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)),
    );
    let (out, err, code) = run(client(&endpoint, &["health"]), "").await;
    assert_eq!((out.as_str(), code), ("NOT_SERVING\n", Some(6)), "{err}");
}

#[tokio::test]
async fn conversations_are_listed_shown_continued_and_deleted() {
    let server = Server::start(Config::default()).await;
    for prompt in ["My name is Ada.", "My name is Grace."] {
        printed(&server, &["--conversation", "new", prompt]).await;
    }
    let table = printed(&server, &["conversations", "list"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(printed(&server, &["conversations", "list", "--limit", "1"]).await.lines().count(), 2);
    let row = table.lines().find(|line| line.contains("Ada")).unwrap();
    let id = row.split_whitespace().next().unwrap();
    printed(&server, &["conversations", "continue", id, "Who", "am I?"]).await;
    assert_eq!(server.emulator.last_request().unwrap().body["messages"].as_array().unwrap().len(), 3);
    let shown = printed(&server, &["conversations", "show", id]).await;
    assert!(shown.contains("[user]\nMy name is Ada.\n\n[assistant]\n"), "{shown}");
    assert!(shown.contains("[user]\nWho am I?\n\n[assistant]\n"), "{shown}");
    assert_eq!(json(&server, &["conversations", "show", id]).await["turns"].as_array().unwrap().len(), 2);
    assert_eq!(printed(&server, &["conversations", "delete", id]).await, format!("deleted {id}\n"));
    let (out, err, code) = run(server.client(&["conversations", "show", id]), "").await;
    assert_eq!((out.as_str(), code), ("", Some(4)), "{err}");
    assert_eq!(json(&server, &["conversations", "list"]).await["conversations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_prompt_can_be_the_name_of_a_command() {
    let server = Server::start(Config::default()).await;
    for words in [&["--", "models"][..], &["the", "models"], &["models "], &["help"]] {
        let out = printed(&server, words).await;
        let prompt = words.iter().filter(|word| **word != "--").copied().collect::<Vec<_>>().join(" ");
        // The echo quotes a prompt without the white space around it.
        assert!(out.contains(&format!("“{}”", prompt.trim())), "{out}");
    }
}

#[tokio::test]
async fn a_flag_that_has_no_effect_on_a_command_is_refused() {
    let server = Server::start(Config::default()).await;
    let (out, err, code) = run(server.client(&["--max-tokens", "7", "models"]), "").await;
    assert_eq!((out.as_str(), code), ("", Some(2)));
    assert!(err.contains("--max-tokens <NUMBER> has no effect before the command models"), "{err}");
    let (_, err, code) = run(client("http://127.0.0.1:1", &["--help"]), "").await;
    assert_eq!((err.as_str(), code), ("", Some(0)));
}

#[tokio::test]
async fn scripts_of_shells_name_the_commands_and_need_no_server() {
    for shell in ["bash", "zsh", "fish"] {
        let (script, err, code) = run(client("http://127.0.0.1:1", &["completions", shell]), "").await;
        assert_eq!(code, Some(0), "{err}");
        for name in ["models", "conversations", "count", "health", "completions"] {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    let (script, _, _) = run(client("http://127.0.0.1:1", &["completions", "bash"]), "").await;
    let completed = r#"
COMP_WORDS=(outcrop-client conv) COMP_CWORD=1
_outcrop__client outcrop-client conv outcrop-client
echo "${COMPREPLY[@]}"
"#;
    let output = Command::new("bash").args(["-c", &(script + completed)]).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "conversations\n");
}

#[tokio::test]
async fn the_manual_has_a_page_for_each_command() {
    let folder = std::env::temp_dir().join(format!("outcrop-client-man-{}", std::process::id()));
    let path = folder.to_str().unwrap();
    let (_, err, code) = run(client("http://127.0.0.1:1", &["man", path]), "").await;
    assert!(code == Some(1) && err.contains("cannot write"), "{err}");
    std::fs::create_dir(&folder).unwrap();
    let (_, err, code) = run(client("http://127.0.0.1:1", &["man", path]), "").await;
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let pages = ["outcrop-client.1", "outcrop-client-conversations-show.1"].map(page);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code, Some(0), "{err}");
    assert!(pages[0].contains("Exit codes:") && pages[1].contains("Show a conversation"), "{pages:?}");
}
