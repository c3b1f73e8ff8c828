//! `chat`, at a pseudo-terminal and with prompts from a pipe.

use std::time::Duration;

use bedrock_emulator::{Config, Script, Step};
use outcrop::conversation::settings::ConversationSettings;
use outcrop_client::{Client, proto::GenerateRequest};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    harness::{Server, run},
    pseudo::Terminal,
};

/// The messages that Bedrock got last: role and text.
fn messages(server: &Server) -> Vec<(String, String)> {
    let messages = server.emulator.last_request().unwrap().body["messages"].clone();
    let pair = |message: &Value| {
        let texts = message["content"].as_array().unwrap().iter().filter_map(|block| block["text"].as_str());
        (message["role"].as_str().unwrap().to_owned(), texts.collect())
    };
    messages.as_array().unwrap().iter().map(pair).collect()
}

fn chat(server: &Server, arguments: &[&str]) -> Terminal {
    let mut command = server.client(&[&["chat", "--no-history"], arguments].concat());
    command.env("PATH", std::env::var("PATH").unwrap_or_default());
    Terminal::run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_at_a_terminal_goes_on_until_ctrl_d() {
    let server = Server::start(Config::default()).await;
    let mut terminal = chat(&server, &[]);
    terminal.line("My name is Ada.").await;
    terminal.until("[end_turn").await;
    terminal.line("Who am I?").await;
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server).len(), 3);
    assert_eq!(messages(&server)[0], ("user".to_owned(), "My name is Ada.".to_owned()));
    terminal.until("> ").await;
    terminal.keys("\u{4}");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_an_answer_and_keeps_the_chat_and_the_text() {
    let server = Server::start(Config::default()).await;
    let mut terminal = chat(&server, &["--model", "emulator.endless"]);
    terminal.line("Count").await;
    terminal.until("tick tick").await;
    terminal.interrupt().await;
    terminal.until("[stopped; the text is kept]").await;
    server.emulator.wait_until(|stats| stats.abandoned == 1).await;
    terminal.line("/model emulator.default").await;
    terminal.line("Go on").await;
    terminal.until("[end_turn").await;
    let sent = messages(&server);
    assert_eq!((sent[0].1.as_str(), sent.len()), ("Count", 3));
    assert!(sent[1].0 == "assistant" && sent[1].1.starts_with("tick "), "{sent:?}");
    terminal.line("/retry").await;
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server), sent, "the turn is asked again, not added");
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_during_an_answer_is_the_next_prompt_and_not_in_the_answer() {
    let server = Server::start(Config::default()).await;
    let mut terminal = chat(&server, &["--model", "emulator.endless"]);
    terminal.line("Count").await;
    terminal.until("tick tick").await;
    terminal.keys("/model emulator.default\rtyped early\r");
    let shown = terminal.until("tick tick tick tick").await;
    assert!(!shown.contains("/model"), "{shown:?}");
    terminal.interrupt().await;
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server)[2].1, "typed early");
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_waits_for_the_turn_of_another_client_that_is_about_to_end() {
    let server = Server::start(Config::default()).await;
    let mut terminal = chat(&server, &[]);
    terminal.line("One").await;
    terminal.until("[end_turn").await;
    let other = Client::connect(&format!("http://127.0.0.1:{}", server.port)).await.unwrap();
    let (listed, _) = other.conversations(1, "").await.unwrap();
    let running = GenerateRequest {
        model: "emulator.endless".to_owned(),
        prompt: "Two".to_owned(),
        conversation_id: listed[0].conversation_id.clone(),
        ..GenerateRequest::default()
    };
    let mut running = other.generate(running).await.unwrap();
    running.next().await.unwrap();
    terminal.line("Three").await;
    // The first attempt finds the conversation busy.
    sleep(Duration::from_millis(500)).await;
    drop(running);
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server).last().unwrap().1, "Three");
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_can_have_several_lines_and_be_written_in_an_editor() {
    let server = Server::start(Config::default()).await;
    let mut command = server.client(&["chat", "--no-history"]);
    command.env("PATH", std::env::var("PATH").unwrap_or_default()).env("EDITOR", "sed -i s/two/three/");
    let mut terminal = Terminal::run(command);
    terminal.line("one\u{1b}\rtwo").await;
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server)[0].1, "one\ntwo");
    terminal.line("/edit last").await;
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server), [("user".to_owned(), "one\nthree".to_owned())]);
    terminal.until("> ").await;
    terminal.keys("\u{1b}[200~pasted\rlines\u{1b}[201~\r");
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server)[2].1, "pasted\nlines");
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_controls_the_terminal_of_a_chat() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let hostile =
        "\u{1b}]0;owned\u{7} **b** &#27;[2J `\u{9b}2J` \u{202e}x\r\n\n| \u{1b}[9A |\n|-|\n\n```\n\u{1b}[2J\n```\n";
    let mut steps = vec![Step::message_start()];
    // Each character is an event of its own.
    steps.extend(hostile.chars().map(|character| Step::text(&character.to_string())));
    steps.extend([Step::message_stop("end_turn"), Step::metadata(1, 1)]);
    let model = server.emulator.register("hostile", Script::of(steps));
    let mut terminal = chat(&server, &["--model", &model, "--color", "always"]);
    terminal.line("hi").await;
    let shown = terminal.until("[end_turn").await;
    assert!(shown.contains("\u{1b}[1mb\u{1b}[0m"), "{shown:?}");
    for sequence in ["\u{1b}]0;", "\u{1b}[2J", "\u{1b}[9A", "\u{9b}", "\u{202e}", "\u{7}"] {
        assert!(!shown.contains(sequence), "{sequence:?} in {shown:?}");
    }
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn a_pipe_has_a_prompt_in_each_line_and_gets_the_answers_unchanged() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let model = server.emulator.register("bold", Script::reply("**bold** &#27;"));
    let (out, err, code) = run(server.client(&["chat", "--model", &model]), "one\n\"\"\"\ntwo\nlines\"\"\"\n").await;
    assert_eq!((out.as_str(), code), ("**bold** &#27;\n**bold** &#27;\n", Some(0)), "{err}");
    assert_eq!(messages(&server)[2].1, "two\nlines");
    assert!(err.contains("[conversation ") && !err.contains('\u{1b}'), "{err:?}");
}

#[tokio::test]
async fn a_stored_conversation_is_continued_and_a_turn_asked_again_begins_another() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let (_, err, code) = run(server.client(&["chat"]), "one\ntwo\n").await;
    assert_eq!(code, Some(0), "{err}");
    let id = err.lines().find_map(|line| line.strip_prefix("[conversation ")?.strip_suffix(']')).unwrap();
    for resumed in [&["chat", "--continue"][..], &["chat", "--conversation", id]] {
        let (out, err, code) = run(server.client(resumed), "/conversation\n").await;
        assert_eq!(code, Some(0), "{err}");
        assert!(
            err.contains(&format!("[conversation {id}: 4 messages, \"one\"]")) && out.contains("“two”"),
            "{out}{err}"
        );
    }
    let (_, err, code) = run(server.client(&["chat", "--continue"]), "/retry\n").await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(messages(&server).last().unwrap().1, "two");
    assert_eq!(messages(&server).len(), 3);
    let (list, _, _) = run(server.client(&["conversations", "list", "--json"]), "").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["conversations"].as_array().unwrap().len(), 2);
    let (shown, _, _) = run(server.client(&["conversations", "show", id]), "").await;
    assert_eq!(shown.matches("[user]").count(), 2, "the old conversation stays as it is");
}

#[tokio::test]
async fn without_a_store_the_client_sends_all_blocks_again() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let folder = std::env::temp_dir().join(format!("outcrop-client-chat-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (picture, saved) = (folder.join("a picture.png"), folder.join("chat.json"));
    std::fs::write(&picture, "png").unwrap();
    let input =
        format!("/attach {}\nfirst\n/model emulator.default\nsecond\n/save {}\n", picture.display(), saved.display());
    let arguments = ["chat", "--no-store", "--model", "emulator.everything", "--system", "be brief", "--images"];
    let mut command = server.client(&arguments);
    command.arg(&folder);
    let (_, err, code) = run(command, &input).await;
    let text = std::fs::read_to_string(&saved);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code, Some(0), "{err}");
    let request = server.emulator.last_request().unwrap().body;
    assert_eq!(request["system"][0]["text"], "be brief");
    assert_eq!(request["messages"][0]["content"][0]["image"]["format"], "png");
    let blocks = request["messages"][1]["content"].to_string();
    assert!(blocks.contains("signature") && blocks.contains("citationsContent"), "{blocks}");
    let saved: Value = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(saved["messages"].as_array().unwrap().len(), 4);
    assert_eq!(saved["system"], json!([{"text": "be brief"}]));
    assert!(!err.contains("[conversation"), "{err}");
}

#[tokio::test]
async fn a_server_without_a_store_is_no_obstacle() {
    let config = Config { unpaced: true, ..Config::default() };
    let server = Server::with(config, |settings| settings.conversations = ConversationSettings::Off).await;
    let (_, err, code) = run(server.client(&["chat"]), "one\ntwo\n/retry\n").await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(err.matches("the server stores no conversations").count(), 1, "{err}");
    let texts: Vec<_> = messages(&server).into_iter().map(|(_, text)| text).collect();
    assert_eq!((texts[0].as_str(), texts[2].as_str(), texts.len()), ("one", "two", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_another_client_added_is_read_before_the_next_prompt() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let mut terminal = chat(&server, &[]);
    terminal.line("one").await;
    let shown = terminal.until("[end_turn").await;
    let id = shown.split_once("[conversation ").unwrap().1.split_once(']').unwrap().0.to_owned();
    let (_, err, code) = run(server.client(&["--conversation", &id, "two"]), "").await;
    assert_eq!(code, Some(0), "{err}");
    terminal.line("three").await;
    terminal.until("[the conversation has changed").await;
    terminal.until("[end_turn").await;
    let prompts: Vec<_> = messages(&server).into_iter().step_by(2).map(|(_, text)| text).collect();
    assert_eq!(prompts, ["one", "two", "three"]);
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_kept_for_the_next_chat_in_a_private_file_unless_they_begin_with_a_space() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let folder = std::env::temp_dir().join(format!("outcrop-client-history-{}", std::process::id()));
    let start = || {
        let mut command = server.client(&["chat"]);
        command.env("XDG_STATE_HOME", &folder);
        Terminal::run(command)
    };
    let mut terminal = start();
    terminal.line("remember me").await;
    terminal.until("[end_turn").await;
    terminal.line(" but not me").await;
    terminal.until("[end_turn").await;
    terminal.line("/quit").await;
    assert_eq!(terminal.end().await, Some(0));
    let mut terminal = start();
    terminal.until("> ").await;
    // Up, up: the command, and the prompt before it.
    terminal.keys("\u{1b}[A\u{1b}[A\r");
    terminal.until("[end_turn").await;
    assert_eq!(messages(&server)[0].1, "remember me");
    terminal.line("/quit").await;
    terminal.end().await;
    let file = folder.join("outcrop/chat-history");
    let mode = file.metadata().unwrap().permissions().mode() & 0o777;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(mode, 0o600);
}

#[tokio::test]
async fn a_script_ends_at_its_first_failure() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    for (input, code, expected) in [
        ("/etc is a folder\nhi\n", Some(2), "/etc is not a command"),
        ("/attach /nowhere\nhi\n", Some(2), "cannot attach /nowhere"),
        ("/model emulator.exception\nhi\n/model emulator.default\nhi\n", Some(7), "MODEL_ERROR"),
        ("/retry\n", Some(2), "no prompt to send again"),
    ] {
        let (_, err, ended) = run(server.client(&["chat"]), input).await;
        assert!(ended == code && err.contains(expected), "{input:?}: {ended:?} {err}");
    }
}
