//! Each feature of the client as a person sees it: recordings of whole screens, and the same commands in pipes, where no escape may be.

use std::path::PathBuf;

use bedrock_emulator::{Config, Script, Step};
use serde_json::json;
use tokio::process::Command;

use crate::{
    harness::{Server, client, run},
    pseudo::Terminal,
    screen::{Recording, screen},
};

/// A folder that is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("outcrop-client-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::create_dir_all(self.0.join(name).parent().unwrap()).unwrap();
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn server() -> Server {
    Server::start(Config { unpaced: true, ..Config::default() }).await
}

/// Runs these commands, each given as words without blanks, in a folder.
async fn record(recording: &mut Recording, server: &Server, folder: &Folder, commands: &[&str]) {
    for line in commands {
        let words: Vec<_> = line.split(' ').collect();
        let mut command = server.client(&words);
        command.current_dir(&folder.0);
        recording.run(&format!("outcrop-client {line}"), command).await;
    }
}

/// An answer with everything that is laid out.
fn markdown() -> Script {
    Script::reply(
        "# Cats\n\nThey are **soft**, *quiet* and `fast`.\n\n1. one\n2. two\n   - nested\n\n> A quotation\n> of two lines.\n\n\
         ```rust\nfn main() {}\n```\n\n| name | age |\n|---|--:|\n| Moss | 2 |\n| Pepper | 12 |\n\nA [link](https://example.com) and a long \
         line that is wrapped at a space, because the terminal has eighty columns.\n",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_layout_reasoning_citations_tools_and_images() {
    let (server, folder) = (server().await, Folder::new("answer"));
    let model = server.emulator.register("markdown", markdown());
    assert_eq!(model, "emulator.markdown");
    let mut recording = Recording::default();
    let commands = [
        "--model emulator.markdown hi",
        "--model emulator.markdown --raw --quiet hi",
        "--model emulator.everything hi",
        "--model emulator.everything --images pictures --color never hi",
        "--model emulator.everything --json hi",
    ];
    std::fs::create_dir(folder.0.join("pictures")).unwrap();
    record(&mut recording, &server, &folder, &commands[..4]).await;
    recording.compare("answer");
    for (place, count) in [(folder.0.clone(), 1), (folder.0.join("pictures"), 1)] {
        let images = std::fs::read_dir(place).unwrap().filter(|it| it.as_ref().unwrap().path().extension().is_some());
        assert_eq!(images.count(), count);
    }
    for line in commands {
        let (out, err, _) = run(server.client(&line.split(' ').collect::<Vec<_>>()), "").await;
        assert!(!out.is_empty() && !(out + &err).contains('\u{1b}'), "{line}: no escape reaches a pipe");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_comes_from_words_a_pipe_and_a_profile_and_the_endpoint_needs_no_scheme() {
    let (server, folder) = (server().await, Folder::new("prompts"));
    let endpoint = format!("localhost:{}", server.port);
    let profiles = format!("[profiles.work]\nendpoint = \"{endpoint}\"\nmodel = \"emulator.reasoning\"\n");
    folder.write("outcrop/client.toml", &profiles).write("input", "from a file");
    let mut recording = Recording::default();
    record(&mut recording, &server, &folder, &["hello there", "count hello there"]).await;
    recording.run("outcrop-client --endpoint localhost:PORT hi", client(&endpoint, &["hi"])).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcrop-client"));
    command.env_clear().env("XDG_CONFIG_HOME", &folder.0).args(["--profile", "work", "hi"]).kill_on_drop(true);
    recording.run("outcrop-client --profile work hi", command).await;
    // A shell, because the terminal is the standard input of what runs in it.
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_outcrop-client");
    let line = format!("cat input | {program} --endpoint {endpoint} summarise this");
    shell.args(["-c", &line]).current_dir(&folder.0).kill_on_drop(true);
    recording.run("cat input | outcrop-client summarise this", shell).await;
    recording.compare("prompts");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_tables_and_conversations() {
    let (server, folder) = (server().await, Folder::new("commands"));
    let mut recording = Recording::default();
    let commands = ["models", "health", "count hi", "--conversation new hi", "conversations list"];
    record(&mut recording, &server, &folder, &commands).await;
    let (list, _, _) = run(server.client(&["conversations", "list", "--json"]), "").await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let id = list["conversations"][0]["conversationId"].as_str().unwrap().to_owned();
    let stored = [
        format!("conversations continue {id} more"),
        format!("conversations show {id}"),
        format!("conversations delete {id}"),
    ];
    let stored: Vec<_> = stored.iter().map(String::as_str).collect();
    record(&mut recording, &server, &folder, &stored).await;
    record(&mut recording, &server, &folder, &["conversations list", "models --json", "health --json"]).await;
    recording.compare("commands");
    for line in ["models", "health", "count hi", "conversations list", "completions bash", "--help", "bench -n 2 hi"] {
        let (out, err, _) = run(server.client(&line.split(' ').collect::<Vec<_>>()), "").await;
        assert!(!out.is_empty() && !(out + &err).contains('\u{1b}'), "{line}: no escape reaches a pipe");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_manual_pages_are_written() {
    let (server, folder) = (server().await, Folder::new("manual"));
    let mut recording = Recording::default();
    record(&mut recording, &server, &folder, &["man .", "--version"]).await;
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_outcrop-client");
    let line = format!("ls *.1; {program} completions fish | grep -c outcrop-client | sed 's/[0-9]*/many/'");
    shell.args(["-c", &line]).current_dir(&folder.0).kill_on_drop(true);
    recording.run("ls *.1; outcrop-client completions fish | grep -c outcrop-client", shell).await;
    recording.compare("manual");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_to_do_and_end_with_the_code_of_their_class() {
    let (server, folder) = (server().await, Folder::new("failures"));
    let late = Script::of([Step::WaitMs(700), Step::exception("throttlingException", "slow down")]);
    server.emulator.register_sequence("late", vec![late, Script::reply("At last.")]);
    let mut recording = Recording::default();
    let commands = [
        "--model emulator.exception hi",
        "--model emulator.cut hi",
        "--model emulator.refuse-access hi",
        "--model emulator.refuse-throttle hi",
        "--model emulator.late --retry 1 hi",
        "--model emulator.refuse-throttle --json hi",
        "--temperature 9 hi",
        "--no-such-flag",
    ];
    record(&mut recording, &server, &folder, &commands).await;
    recording.run("outcrop-client --endpoint 127.0.0.1:1 hi", client("127.0.0.1:1", &["hi"])).await;
    recording.compare("failures");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spinner_is_shown_until_the_answer_begins() {
    let (server, mut recording) = (server().await, Recording::default());
    let steps = [Step::WaitMs(2_000), Step::message_start(), Step::text("At last."), Step::message_stop("end_turn")];
    let model = server.emulator.register("late", Script::of(steps));
    let mut terminal = Terminal::run(server.client(&["--model", &model, "hi"]));
    let shown = terminal.until(" 1 s").await;
    recording.add("outcrop-client --model emulator.late hi (after a second)", &screen(&shown));
    recording.end("outcrop-client --model emulator.late hi (at the end)", terminal).await;
    let mut terminal = Terminal::run(server.client(&["bench", "-n", "100000", "hi"]));
    terminal.until("/100000").await;
    terminal.interrupt().await;
    assert_eq!(terminal.end().await, Some(130));
    let bar = terminal.all().await.split('\r').find(|part| part.contains("/100000")).unwrap().to_owned();
    assert!(bar.contains('█') || bar.contains('░'), "{bar:?}");
    assert!(!screen(&terminal.shown).contains('░'), "the progress bar is removed: {}", screen(&terminal.shown));
    recording.compare("spinner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_answer_moves_no_cursor() {
    let (server, folder, mut recording) = (server().await, Folder::new("hostile"), Recording::default());
    let hostile = "\u{1b}[2J\u{1b}[1;1Hover\u{1b}]0;owned\u{7}\u{9b}31m\rstart\u{8}\u{8} &#27;[9A \u{202e}mirror\n\n\
                   | \u{1b}[5C | b |\n|-|-|\n\n```\n\u{1b}[H\n```\n";
    let delta = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": hostile}}});
    let stop = json!({"contentBlockIndex": 0});
    let mut steps =
        vec![Step::message_start(), Step::event("contentBlockDelta", delta), Step::event("contentBlockStop", stop)];
    let text =
        |text: String| Step::event("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"text": text}}));
    steps.extend(hostile.chars().map(|character| text(character.to_string())));
    steps.push(Step::exception("modelStreamErrorException", hostile));
    server.emulator.register("hostile", Script::of(steps));
    record(&mut recording, &server, &folder, &["--model emulator.hostile hi", "--model emulator.hostile --json hi"])
        .await;
    recording.compare("hostile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_has_its_commands_editing_and_history() {
    let (server, folder, mut recording) = (server().await, Folder::new("chat"), Recording::default());
    server.emulator.register("markdown", Script::reply("Some **bold** text."));
    folder.write("note.txt", "a note");
    let chat = |arguments: &[&str]| {
        let mut command = server.client(&[&["chat"], arguments].concat());
        command.env("PATH", std::env::var("PATH").unwrap_or_default()).env("EDITOR", "sed -i s/two/three/");
        command.env("XDG_STATE_HOME", &folder.0).current_dir(&folder.0);
        Terminal::run(command)
    };
    let mut terminal = chat(&[]);
    for line in ["/help", "/system Be brief.", "/system", "/model emulator.markdown", "/attach note.txt"] {
        terminal.line(line).await;
    }
    for keys in ["what is thsi\u{7f}\u{7f}is?\r", "one\u{1b}\rtwo\r", "/edit last\r", "/retry\r"] {
        terminal.until("> ").await;
        terminal.keys(keys);
        terminal.until("[end_turn").await;
    }
    terminal.line("/save chat.md").await;
    terminal.line("/quit").await;
    recording.end("outcrop-client chat", terminal).await;
    let mut terminal = chat(&["--model", "emulator.endless"]);
    terminal.until("> ").await;
    // The newest prompts of the chat before.
    terminal.keys("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\r");
    terminal.until("tick tick").await;
    terminal.interrupt().await;
    terminal.until("[stopped; the text is kept]").await;
    terminal.until("> ").await;
    terminal.keys("\u{4}");
    assert_eq!(terminal.end().await, Some(0));
    // How much has arrived differs.
    let ticks = regex_lite::Regex::new("(tick ?)+").unwrap();
    let shown = ticks.replace_all(terminal.all().await, "tick ").into_owned();
    recording.add("outcrop-client chat --model emulator.endless (Up, Enter, Ctrl-C, Ctrl-D)", &screen(&shown));
    recording.add("cat chat.md", &std::fs::read_to_string(folder.0.join("chat.md")).unwrap());
    recording.compare("chat");
}
