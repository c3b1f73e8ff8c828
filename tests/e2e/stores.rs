//! Where conversations are kept: what was acknowledged survives a crash, and several servers share what they keep in Redis.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bedrock_emulator::{Script, Step};
use outcrop::conversation::place::ConversationSettings;
use outcrop_client::{
    Client, ClientError,
    proto::{CreateConversationRequest, GenerateRequest, Turn, content_block::Block},
};
use tokio::time::{sleep, timeout};

use crate::{
    conversations::turn,
    harness::{Harness, collect, request, soon, text_of},
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
fn kills() -> usize {
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
    assert!(err.contains(store) && err.contains("It was left as it is"), "{err}");
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
    assert!(err.contains("already open") && code == Some(1), "{err}");
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

/// A real Redis, if there is one on this machine.
pub(crate) struct Redis {
    process: Child,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// Sends the process a signal, such as `-STOP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn start(name: &str) -> Option<Self> {
        let folder = Folder::new(name);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let Some(process) = Self::launch(port, &folder) else {
            assert!(
                std::env::var_os("CI_REQUIRE_REDIS").is_none(),
                "CI_REQUIRE_REDIS is set, and there is no redis-server"
            );
            println!("skipped: there is no redis-server on this machine");
            return None;
        };
        Some(Self { process, port, folder })
    }

    fn launch(port: u16, folder: &Folder) -> Option<Child> {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]);
        command.args(["--dir", &folder.file(""), "--save", ""]).stdout(Stdio::null());
        let process = command.spawn().ok()?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(process)
    }

    pub(crate) fn settings(&self) -> ConversationSettings {
        ConversationSettings::Redis(format!("redis://127.0.0.1:{}/0", self.port))
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn restart(&mut self) {
        self.process = Self::launch(self.port, &self.folder).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn server_on(redis: &Redis) -> Harness {
    Harness::with(|settings| {
        settings.attempts = 1;
        settings.conversations = redis.settings();
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_at_another_server_on_the_same_redis() {
    let Some(redis) = Redis::start("redis-shared") else { return };
    let (one, other) = (server_on(&redis).await, server_on(&redis).await);
    let id = soon(one.client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    one.ask(turn(&id, "emulator.reasoning", "one")).await.whole();
    other.ask(turn(&id, "emulator.tools", "two")).await.whole();
    let messages = other.emulator.last_request().unwrap().body["messages"].clone();
    assert_eq!(messages[0]["content"][0]["text"], "one");
    assert_eq!(messages[1]["content"][1]["reasoningContent"]["redactedContent"], "c2VjcmV0");
    assert_eq!(soon(one.client.conversation(&id)).await.unwrap().1.len(), 2);
    // Two turns at once, at two servers: one is first.
    let pause = Script::of([Step::text("a"), Step::WaitMs(400), Step::message_stop("end_turn")]);
    let running = GenerateRequest { model: one.emulator.register("slow", pause), ..turn(&id, "", "three") };
    let running = soon(one.client.generate(running)).await.unwrap();
    let (_, error) = other.ask(turn(&id, "emulator.tools", "three")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (tonic::Code::Aborted, "CONVERSATION_BUSY"));
    soon(collect(running)).await.whole();
    other.ask(turn(&id, "emulator.tools", "four")).await.whole();
    let (listed, _) = soon(other.client.conversations(10, "")).await.unwrap();
    assert_eq!((listed.len(), listed[0].turn_count), (1, 4));
    soon(other.client.delete_conversation(&id)).await.unwrap();
    let (listed, next) = soon(one.client.conversations(10, "")).await.unwrap();
    assert_eq!((listed.len(), next.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_turns_at_once_at_two_servers_one_wins_each_time() {
    let Some(redis) = Redis::start("redis-race") else { return };
    let (one, other) = (server_on(&redis).await, server_on(&redis).await);
    let id = soon(one.client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    for round in 1..=10 {
        let asked = || turn(&id, "emulator.reasoning", "hi");
        let (a, b) = tokio::join!(one.ask(asked()), other.ask(asked()));
        let outcomes = [a.result, b.result];
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        // If one has ended before the other began, both are kept, one after the other.
        assert!(won >= 1, "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert!(error.to_string().starts_with("CONVERSATION_BUSY"), "{error}");
        }
        let turns = soon(one.client.conversation(&id)).await.unwrap().1.len();
        assert!(turns >= round, "{turns} turns after {round} rounds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_gives_back_the_conversation_of_a_running_turn() {
    let Some(redis) = Redis::start("redis-given-back") else { return };
    let ConversationSettings::Redis(url) = redis.settings() else { panic!("redis") };
    let mut serving = Serving::start(&["--log", "off", "--grace", "100ms", "--conversations", &url]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    let mut running = soon(client.generate(turn(&id, "emulator.endless", "one"))).await.unwrap();
    soon(running.next()).await.unwrap();
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    // At once, and not when the lease has run out.
    let other = server_on(&redis).await;
    other.ask(turn(&id, "emulator.tools", "one")).await.whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_lease_was_lost_is_not_stored() {
    let Some(redis) = Redis::start("redis-lost") else { return };
    let (one, other) = (server_on(&redis).await, server_on(&redis).await);
    let id = soon(one.client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    let pause = Script::of([Step::text("a"), Step::WaitMs(1_000), Step::message_stop("end_turn")]);
    let model = one.emulator.register("slow", pause);
    let running = soon(one.client.generate(turn(&id, &model, "one"))).await.unwrap();
    // As if the lease had expired while this server was paused.
    let lost = Command::new("redis-cli")
        .args(["-p", &redis.port.to_string(), "DEL", &format!("outcrop:{{/{id}}}:lease")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&lost.stdout).trim(), "1");
    other.ask(turn(&id, "emulator.tools", "two")).await.whole();
    let (_, error) = soon(collect(running)).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (tonic::Code::Aborted, "CONVERSATION_LEASE_LOST"));
    let (conversation, turns) = soon(one.client.conversation(&id)).await.unwrap();
    assert_eq!((turns.len(), conversation.title.as_str()), (1, "two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_only_conversations_fail_and_nothing_is_lost() {
    let Some(mut redis) = Redis::start("redis-gone") else { return };
    let harness = server_on(&redis).await;
    let created = soon(harness.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    let id = created.conversation_id;
    harness.ask(turn(&id, "emulator.tools", "one")).await.whole();
    // It goes in the middle of a turn.
    let pause = Script::of([Step::text("a"), Step::WaitMs(300), Step::message_stop("end_turn")]);
    let model = harness.emulator.register("slow", pause);
    let running = soon(harness.client.generate(turn(&id, &model, "two"))).await.unwrap();
    redis.stop();
    let (chunks, error) = soon(collect(running)).await.failed();
    // Redis was asked and did not answer, so the turn may be stored.
    assert_eq!((error.code, error.reason.as_str()), (tonic::Code::Unknown, "CONVERSATION_OUTCOME_UNKNOWN"));
    assert_eq!(text_of(&chunks), "a");
    let (_, error) = harness.ask(turn(&id, "emulator.tools", "two")).await.failed();
    assert_eq!((error.reason.as_str(), error.metadata["phase"].as_str()), ("CONVERSATION_STORE", "before_content"));
    harness.ask(request("emulator.tools")).await.whole();
    redis.restart();
    soon(async {
        while harness.client.conversation(&id).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(soon(harness.client.conversation(&id)).await.unwrap().1.len(), 1, "what was acknowledged is there");
}
