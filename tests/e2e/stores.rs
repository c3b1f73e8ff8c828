//! Conversations in a file: what was acknowledged survives a crash, and a file that cannot be used is left unchanged.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use outcrop_client::{
    Client, ClientError,
    proto::{CreateConversationRequest, Turn, content_block::Block},
};
use tokio::time::timeout;

use crate::{
    conversations::turn,
    harness::{collect, request, soon},
    process::{Serving, outcrop, run},
};

/// A folder of this test alone, gone when it ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How often the server is killed; `OUTCROP_TEST_KILLS` says another number.
pub(crate) fn kills() -> usize {
    std::env::var("OUTCROP_TEST_KILLS").map_or(20, |number| number.parse().unwrap())
}

/// Turns that are whole, each with its number as the question and as the answer.
fn assert_whole(turns: &[Turn]) {
    for (number, turn) in turns.iter().enumerate() {
        let text = |at: usize| match &turn.messages[at].content[0].block {
            Some(Block::Text(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(turn.messages.len(), 2, "half a turn");
        assert_eq!((text(0), text(1)), (number.to_string(), "an answer of some words".to_owned()));
    }
}

#[tokio::test]
async fn a_server_that_is_killed_has_every_acknowledged_turn_and_no_half_one() {
    let folder = Folder::new("kill");
    fs::create_dir_all(folder.file("scripts")).unwrap();
    let script = r#"{"steps": [{"reply": "an answer of some words"}], "pace": {"gap_ms": 1}}"#;
    fs::write(folder.file("scripts/quick.json"), script).unwrap();
    let (store, scripts) = (folder.file("conversations.redb"), folder.file("scripts"));
    let start = || Serving::start(&["--log", "off", "--conversations", &store, "--scripts", &scripts]);
    let mut lives = Vec::new();
    let mut serving = start();
    for _ in 0..kills() {
        let client = Client::connect(&serving.endpoint).await.unwrap();
        let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
        let mut acknowledged = 0;
        let life = Duration::from_micros(fastrand::u64(..150_000));
        let _ = timeout(life, async {
            loop {
                let asked = turn(&id, "emulator.quick", &acknowledged.to_string());
                let mut chunks = Box::pin(client.generate(asked)).await.unwrap();
                while chunks.next().await.unwrap().is_some() {}
                acknowledged += 1;
            }
        })
        .await;
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        serving = start();
        let client = Client::connect(&serving.endpoint).await.unwrap();
        let (_, turns) = soon(client.conversation(&id)).await.unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&turns.len()), "{acknowledged} became {}", turns.len());
        assert_whole(&turns);
        lives.push((id, turns.len()));
    }
    let client = Client::connect(&serving.endpoint).await.unwrap();
    for (id, turns) in &lives {
        assert_eq!(soon(client.conversation(id)).await.unwrap().1.len(), *turns);
    }
    let turns: usize = lives.iter().map(|(_, turns)| turns).sum();
    println!("{} kills, {turns} turns kept, each of them whole", lives.len());
    // And the next turn goes on.
    let (id, number) = lives.last().unwrap();
    soon(collect(soon(client.generate(turn(id, "emulator.quick", &number.to_string()))).await.unwrap())).await.whole();
    assert_whole(&soon(client.conversation(id)).await.unwrap().1);
}

fn assert_refused(store: &str) {
    let content = fs::read(store).unwrap();
    let (out, err, code) =
        run(&mut outcrop(&["serve", "--local", "--listen", "127.0.0.1:0", "--conversations", store]));
    assert_eq!((out.as_str(), code), ("", Some(1)), "{err}");
    assert!(err.contains(store) && err.contains("It was left unchanged"), "{err}");
    assert!(fs::read(store).unwrap() == content, "it was written to");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::new("corrupt");
    let store = folder.file("conversations.redb");
    for content in [b"this is somebody's diary".to_vec(), vec![0xA5; 100_000]] {
        fs::write(&store, &content).unwrap();
        assert_refused(&store);
    }
}

#[tokio::test]
async fn a_store_that_is_damaged_is_refused_and_left_as_it_is() {
    let folder = Folder::new("damaged");
    let store = folder.file("conversations.redb");
    let mut serving = Serving::start(&["--log", "off", "--conversations", &store]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    soon(collect(soon(client.generate(turn(&id, "emulator.tools", "remember me"))).await.unwrap())).await.whole();
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let mut content = fs::read(&store).unwrap();
    let (said, mut at) = (b"remember me", 0);
    while let Some(found) = content[at..].windows(said.len()).position(|window| window == said) {
        at += found + said.len();
        content[at - 1] ^= 0xFF;
    }
    assert!(at > 0, "what was said is in the file");
    fs::write(&store, &content).unwrap();
    assert_refused(&store);
}

#[tokio::test]
async fn two_servers_do_not_share_a_file() {
    let folder = Folder::new("shared");
    let store = folder.file("conversations.redb");
    let _first = Serving::start(&["--log", "off", "--conversations", &store]);
    let (_, err, code) = run(&mut outcrop(&["serve", "--local", "--listen", "127.0.0.1:0", "--conversations", &store]));
    assert!(err.contains("already open") && err.contains("Stop the other server"), "{err}");
    assert!(!err.contains("Move it away") && code == Some(1), "{err}");
}

#[test]
fn a_path_that_cannot_be_a_file_is_refused_with_advice_that_fits() {
    let folder = Folder::new("path");
    let make = format!("the folder {0} does not exist. Make it: mkdir -p {0}\n", folder.file("none"));
    for (name, said) in [("", "it is a folder. Name a file in it\n"), ("none/file", &make)] {
        let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--conversations", &folder.file(name)];
        let (out, err, code) = run(&mut outcrop(&flags));
        assert!(err.ends_with(said), "{err}");
        assert_eq!((out.as_str(), code), ("", Some(1)));
    }
}

#[tokio::test]
async fn on_a_full_disk_the_turn_fails_and_what_was_kept_stays() {
    let folder = Folder::new("full");
    fs::create_dir_all(folder.file("scripts")).unwrap();
    let large = format!(r#"{{"steps": [{{"reply": "{}"}}]}}"#, "x".repeat(3_000_000));
    fs::write(folder.file("scripts/large.json"), large).unwrap();
    let (store, scripts) = (folder.file("conversations.redb"), folder.file("scripts"));
    let flags = ["--log", "off", "--conversations", &store, "--scripts", &scripts];
    // No file may grow beyond 4 MiB; the signal that would end the process is ignored, as a full disk sends none.
    let mut limited = Command::new("sh");
    let words = [&["serve", "--local", "--listen", "127.0.0.1:0"], &flags[..]].concat().join(" ");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f 8192; exec {} {words}", env!("CARGO_BIN_EXE_outcrop"))]);
    limited.env_clear().env("PATH", "/bin:/usr/bin").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut serving = Serving::listening(&mut limited);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    soon(collect(soon(client.generate(turn(&id, "emulator.tools", "small"))).await.unwrap())).await.whole();
    let mut failed = None;
    for _ in 0..5 {
        let outcome = soon(collect(soon(client.generate(turn(&id, "emulator.large", "large"))).await.unwrap())).await;
        if let Err(ClientError::Call(error)) = outcome.result {
            failed = Some(error);
            break;
        }
    }
    let error = failed.expect("the disk is full");
    assert_eq!((error.reason.as_str(), error.metadata["phase"].as_str()), ("CONVERSATION_STORE", "after_content"));
    // Without a conversation everything goes on.
    soon(collect(soon(client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    let serving = Serving::start(&flags);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    assert!(!soon(client.conversation(&id)).await.unwrap().1.is_empty());
}
