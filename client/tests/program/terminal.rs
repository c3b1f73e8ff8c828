//! What reaches a terminal, seen from its other side: through a pseudo-terminal, from an emulator that answers with escape sequences.

use std::{fs::OpenOptions, io::Read, process::Stdio};

use bedrock_emulator::{Config, Script, Step};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    harness::{Server, TIMEOUT, run},
    pseudo::Terminal,
};

/// Escape sequences that are cut between events: a C0 control from what follows it, and a C1 control from what surrounds it.
const PIECES: [&str; 6] = ["a\u{1b}", "]0;owned\u{7}", "\u{9b}", "2J\rb", "\u{202e}c\u{7f}", "\r\nd\t"];

/// A server whose answers are hostile, and its model with text and with a tool.
struct Hostile {
    server: Server,
    text: String,
    tool: String,
    error: String,
}

impl Hostile {
    async fn start() -> Self {
        let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
        let emulator = &server.emulator;
        let steps = [Step::message_start()].into_iter().chain(PIECES.map(Step::text)).collect::<Vec<_>>();
        let ended = [steps.clone(), vec![Step::message_stop("end_turn"), Step::metadata(1, 1)]].concat();
        let text = emulator.register("text", Script::of(ended));
        let failed = [steps, vec![Step::exception("modelStreamErrorException", &PIECES.concat())]].concat();
        let error = emulator.register("error", Script::of(failed));
        let tool = emulator.register("tool", tool());
        Self { server, text, tool, error }
    }

    /// What the program writes, standard output and standard error together, to a terminal or to a pipe.
    async fn shown(&self, to_terminal: bool, model: &str, flags: &[&str]) -> String {
        self.written(to_terminal, &[&["--model", model, "hi"], flags].concat()).await
    }

    /// What the program writes with these arguments.
    async fn written(&self, to_terminal: bool, arguments: &[&str]) -> String {
        let mut command = self.server.client(arguments);
        if !to_terminal {
            let (out, err, _) = run(command, "").await;
            return out + &err;
        }
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::from(end.try_clone().unwrap())).stderr(Stdio::from(end));
        let mut child = command.spawn().unwrap();
        // The other end is closed when the program has ended and the command, which holds copies, is gone.
        drop(command);
        let reading = spawn_blocking(move || {
            let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
            let mut terminal = std::fs::File::from(terminal);
            // A terminal without another end is an error on Linux, and the end of the file elsewhere.
            while let Ok(length @ 1..) = terminal.read(&mut buffer) {
                shown.extend_from_slice(&buffer[..length]);
            }
            String::from_utf8(shown).unwrap()
        });
        timeout(TIMEOUT, child.wait()).await.unwrap().unwrap();
        // The terminal itself writes a line break as two characters.
        timeout(TIMEOUT, reading).await.unwrap().unwrap().replace("\r\n", "\n")
    }
}

/// A tool whose name and input are escape sequences.
fn tool() -> Script {
    let hostile = PIECES.concat();
    let start = serde_json::json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "i", "name": hostile}}});
    let delta = serde_json::json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": hostile}}});
    let steps = [
        Step::message_start(),
        Step::event("contentBlockStart", start),
        Step::event("contentBlockDelta", delta),
        Step::event("contentBlockStop", serde_json::json!({"contentBlockIndex": 0})),
        Step::event("messageStop", serde_json::json!({"stopReason": hostile})),
    ];
    Script::of(steps)
}

fn controls(text: &str) -> String {
    let reorders = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| reorders(*c) || (c.is_control() && !matches!(c, '\n' | '\t'))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_control_character_reaches_a_terminal() {
    let hostile = Hostile::start().await;
    for (model, flags) in [
        (&hostile.text, &[][..]),
        (&hostile.text, &["--raw"]),
        (&hostile.text, &["--json"]),
        (&hostile.tool, &[]),
        (&hostile.tool, &["--json"]),
        (&hostile.error, &[]),
        (&hostile.error, &["--json", "--quiet"]),
    ] {
        let shown = hostile.shown(true, model, flags).await;
        assert!(shown.contains("owned"), "{model} {flags:?}: {shown:?}");
        assert_eq!(controls(&shown), "", "{model} {flags:?}: {shown:?}");
    }
    let shown = hostile.shown(true, &hostile.text, &["--quiet", "--raw"]).await;
    assert_eq!(shown, "a\u{241b}]0;owned\u{2407}\u{fffd}2J\u{240d}b\u{fffd}c\u{2421}\nd\t\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_the_text_unchanged() {
    let hostile = Hostile::start().await;
    let shown = hostile.shown(false, &hostile.text, &["--quiet"]).await;
    assert_eq!(shown, PIECES.concat() + "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_does_nothing_to_a_terminal_and_reaches_a_pipe_unchanged() {
    let hostile = Hostile::start().await;
    let text = PIECES.concat();
    let note = hostile.written(false, &["--model", &hostile.text, "--conversation", "new", "--", &text]).await;
    let id = note.lines().find_map(|line| line.strip_prefix("[conversation ")?.strip_suffix(']')).unwrap();
    for arguments in [
        &["conversations", "list"][..],
        &["conversations", "list", "--json"],
        &["conversations", "show", id],
        &["conversations", "show", "--json", id],
        &["conversations", "show", &text],
        &["health", "--json", "--service", &text],
    ] {
        let shown = hostile.written(true, arguments).await;
        assert!(!shown.is_empty(), "{arguments:?}");
        assert_eq!(controls(&shown), "", "{arguments:?}: {shown:?}");
    }
    let shown = hostile.written(false, &["conversations", "show", id]).await;
    assert_eq!(shown.matches(&text).count(), 2, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_laid_out_on_a_terminal_with_its_reasoning_dimmed() {
    let server = Server::start(Config::default()).await;
    let text = "# Title\n\nSome **bold** text.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
    let reasoning = serde_json::json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "I think"}}});
    let steps = [
        Step::message_start(),
        Step::WaitMs(300),
        Step::event("contentBlockDelta", reasoning),
        Step::event("contentBlockStop", serde_json::json!({"contentBlockIndex": 0})),
        Step::event("contentBlockDelta", serde_json::json!({"contentBlockIndex": 1, "delta": {"text": text}})),
        Step::event("contentBlockStop", serde_json::json!({"contentBlockIndex": 1})),
        Step::message_stop("end_turn"),
        Step::metadata(1, 1),
    ];
    let model = server.emulator.register("laid-out", Script::of(steps));
    let mut terminal = Terminal::run(server.client(&["--model", &model, "hi"]));
    let shown = terminal.until("[end_turn").await.replace("\r\n", "\n");
    assert_eq!(terminal.end().await, Some(0));
    let (spinner, answer) = shown.split_once("\u{1b}[2mI think\u{1b}[0m\n").unwrap();
    assert!(spinner.contains("0 s") && spinner.ends_with("\u{1b}[2K"), "{spinner:?}");
    let table = "┌───┬───┐\n│ a │ b │\n╞═══╪═══╡\n│ 1 │ 2 │\n└───┴───┘\n";
    let expected = format!("\u{1b}[1m\u{1b}[4mTitle\u{1b}[0m\n\nSome \u{1b}[1mbold\u{1b}[0m text.\n\n{table}[end_turn");
    assert_eq!(answer, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_is_laid_out_as_an_answer_is() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let model = server.emulator.register("bold", Script::reply("- some **bold** text"));
    let (_, err, _) = run(server.client(&["--model", &model, "--conversation", "new", "hi"]), "").await;
    let id = err.lines().find_map(|line| line.strip_prefix("[conversation ")?.strip_suffix(']')).unwrap();
    let mut terminal = Terminal::run(server.client(&["conversations", "show", id]));
    terminal.until("[user]\r\nhi\r\n").await;
    terminal.until("[assistant]\r\n").await;
    terminal.until("some \u{1b}[1mbold\u{1b}[0m text").await;
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn styles_follow_the_flag_and_the_variable() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let model = server.emulator.register("bold", Script::reply("some **bold** text"));
    let arguments = |flags: &[&str]| [&["--quiet", "--model", &model][..], flags, &["hi"]].concat().join(" ");
    for (flags, variable, shown) in [
        (&[][..], None, "some \u{1b}[1mbold\u{1b}[0m text"),
        (&[], Some("1"), "some **bold** text"),
        (&["--color", "never"], None, "some **bold** text"),
        (&["--color", "always"], Some("1"), "some \u{1b}[1mbold\u{1b}[0m text"),
    ] {
        let arguments = arguments(flags);
        let mut command = server.client(&arguments.split(' ').collect::<Vec<_>>());
        command.envs(variable.map(|value| ("NO_COLOR", value)));
        let mut terminal = Terminal::run(command);
        terminal.until(shown).await;
        assert_eq!(terminal.end().await, Some(0));
        assert!(!terminal.shown.contains("\u{1b}[2K"), "no spinner with --quiet");
    }
    let always = arguments(&["--color", "always"]);
    let (out, _, _) = run(server.client(&always.split(' ').collect::<Vec<_>>()), "").await;
    assert_eq!(out, "some \u{1b}[1mbold\u{1b}[0m text\n");
}
