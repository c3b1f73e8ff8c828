//! Many conversations at once, whose callers leave at random moments: a turn that was acknowledged is stored once and in order,
//! and no conversation is blocked afterwards. `OUTCROP_TEST_TURNS=1h` is the long form.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bedrock_emulator::Script;
use outcrop::conversation::place::ConversationSettings;
use outcrop_client::{
    Client, ClientError,
    proto::{CreateConversationRequest, GenerateRequest, chunk::Event},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    conversations::turn,
    harness::{Harness, duration_of, soon},
    process::Serving,
    stores::{Folder, Redis},
};

/// Conversations at the same time.
const CONVERSATIONS: usize = 40;

/// Longer than a turn takes, with a store that is paused for some seconds.
const HANGS: Duration = Duration::from_mins(1);

/// What the caller of one conversation knows of its turns.
#[derive(Default)]
struct Seen {
    id: String,
    /// The ids of the turns that were answered with OK, in order, each with the revision in its `finish`.
    acknowledged: Vec<(String, u32)>,
    /// The ids of the turns whose caller left, or that were told to be unknown.
    unknown: Vec<String>,
    refused: BTreeMap<String, u64>,
}

fn long_form() -> Duration {
    duration_of("OUTCROP_TEST_TURNS", Duration::from_secs(4))
}

/// Turns of one conversation, one after the other. One in three callers leaves at a random moment.
async fn converse(client: Client, model: String, until: Instant) -> Seen {
    let created = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    let mut seen = Seen { id: created.conversation_id, ..Seen::default() };
    for number in 0.. {
        if Instant::now() >= until {
            break;
        }
        let turn_id = format!("{number}-{}", fastrand::u64(..));
        let asked = GenerateRequest { turn_id: turn_id.clone(), ..turn(&seen.id, &model, &number.to_string()) };
        let leaves = fastrand::u8(..3) == 0;
        let patience = if leaves { Duration::from_micros(fastrand::u64(..30_000)) } else { HANGS };
        match timeout(patience, Box::pin(whole(&client, asked))).await {
            Ok(Ok(revision)) => seen.acknowledged.push((turn_id, revision)),
            Ok(Err(ClientError::Call(error))) => {
                if error.reason == "CONVERSATION_OUTCOME_UNKNOWN" {
                    seen.unknown.push(turn_id);
                }
                *seen.refused.entry(error.reason).or_default() += 1;
                sleep(Duration::from_millis(2)).await;
            }
            Ok(Err(other)) => panic!("{other}"),
            Err(_) => {
                assert!(leaves, "a turn of {} hangs", seen.id);
                seen.unknown.push(turn_id);
            }
        }
    }
    seen
}

/// The revision of the conversation with this turn.
async fn whole(client: &Client, asked: GenerateRequest) -> Result<u32, ClientError> {
    let mut chunks = client.generate(asked).await?;
    let mut revision = None;
    while let Some(chunk) = chunks.next().await? {
        if let Some(Event::Finish(finish)) = chunk.event {
            revision = finish.conversation_revision;
        }
    }
    Ok(revision.expect("OK means that the turn is stored"))
}

/// What was acknowledged is there once and in order; what else is there may be there.
async fn check(client: &Client, seen: &Seen) {
    let (conversation, turns) = soon(client.conversation(&seen.id)).await.unwrap();
    let stored: Vec<_> = turns.iter().map(|turn| turn.turn_id.as_str()).collect();
    let mut unique = stored.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), stored.len(), "{}: a turn is stored twice", seen.id);
    let certain: Vec<_> = stored.iter().filter(|id| !seen.unknown.iter().any(|unknown| unknown == *id)).collect();
    let acknowledged: Vec<_> = seen.acknowledged.iter().map(|(turn_id, _)| turn_id.as_str()).collect();
    assert_eq!(certain, acknowledged.iter().collect::<Vec<_>>(), "{}: stored is what was acknowledged", seen.id);
    for (turn_id, revision) in &seen.acknowledged {
        // A turn that was stored late would stand between a turn and the history that it was asked on.
        assert_eq!(stored[*revision as usize - 1], turn_id, "{}: each turn has its place", seen.id);
    }
    assert_eq!(conversation.revision as usize, stored.len());
    for turn in &turns {
        assert_eq!(turn.messages.len(), 2, "{}: half a turn", seen.id);
    }
}

/// Runs conversations for this long and checks all of them, and that each can continue.
async fn conversations(clients: &[Client], model: &str, time: Duration) -> (usize, usize) {
    let until = Instant::now() + time;
    let mut running = JoinSet::new();
    for at in 0..CONVERSATIONS {
        running.spawn(converse(clients[at % clients.len()].clone(), model.to_owned(), until));
    }
    let (mut acknowledged, mut unknown) = (0, 0);
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(seen) = running.join_next().await {
        let mut seen = seen.unwrap();
        // Nothing is blocked: the next turn is stored, if need be after the lease of a lost server has expired.
        let last = GenerateRequest { turn_id: "last".to_owned(), ..turn(&seen.id, model, "last") };
        let revision = timeout(HANGS, async {
            loop {
                match whole(&clients[0], last.clone()).await {
                    Ok(revision) => break revision,
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{} is blocked", seen.id));
        seen.acknowledged.push(("last".to_owned(), revision));
        check(&clients[0], &seen).await;
        acknowledged += seen.acknowledged.len();
        unknown += seen.unknown.len();
        for (reason, times) in seen.refused {
            *refused.entry(reason).or_default() += times;
        }
    }
    println!("{time:?}: {acknowledged} turns acknowledged, {unknown} left or unknown, refused: {refused:?}");
    (acknowledged, unknown)
}

async fn on(settings: ConversationSettings) -> Harness {
    Harness::with(|server| {
        server.attempts = 1;
        server.conversations = settings;
        server.conversation_bounds.messages = u32::MAX;
        server.conversation_bounds.tokens = u32::MAX;
        server.conversation_bounds.bytes = 1 << 40;
    })
    .await
}

fn quick() -> Script {
    Script::reply("an answer of some words").pace(0, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_memory_when_callers_leave() {
    let harness = on(ConversationSettings::Memory).await;
    let model = harness.emulator.register("quick", quick());
    let (acknowledged, _) = conversations(std::slice::from_ref(&harness.client), &model, long_form()).await;
    assert!(acknowledged > CONVERSATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_file_when_callers_leave() {
    let folder = Folder::new("turns");
    let harness = on(ConversationSettings::File(folder.file("conversations.redb").into())).await;
    let model = harness.emulator.register("quick", quick());
    let (acknowledged, _) = conversations(std::slice::from_ref(&harness.client), &model, long_form()).await;
    assert!(acknowledged > CONVERSATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_redis_that_is_paused() {
    let Some(redis) = Redis::start("turns-redis") else { return };
    let (one, other) = (on(redis.settings()).await, on(redis.settings()).await);
    let model = one.emulator.register("quick", quick());
    other.emulator.register("quick", quick());
    let clients = [one.client.clone(), other.client.clone()];
    let until = Instant::now() + long_form();
    let pauses = async {
        while Instant::now() < until {
            sleep(Duration::from_millis(fastrand::u64(200..1_500))).await;
            redis.signal("-STOP");
            sleep(Duration::from_millis(fastrand::u64(10..2_500))).await;
            redis.signal("-CONT");
        }
        std::future::pending::<()>().await;
    };
    let (acknowledged, _) = tokio::select! {
        counted = conversations(&clients, &model, long_form()) => counted,
        () = pauses => unreachable!("it never ends"),
    };
    assert!(acknowledged > CONVERSATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_file_when_the_server_is_killed() {
    let folder = Folder::new("turns-killed");
    std::fs::create_dir_all(folder.file("scripts")).unwrap();
    let script = r#"{"steps": [{"reply": "an answer of some words"}], "pace": {"gap_ms": 1}}"#;
    std::fs::write(folder.file("scripts/quick.json"), script).unwrap();
    let (store, scripts) = (folder.file("conversations.redb"), folder.file("scripts"));
    let flags =
        ["--log", "off", "--conversations", &store, "--scripts", &scripts, "--max-conversation-messages", "100000"];
    let until = Instant::now() + long_form();
    let mut all: Vec<Seen> = Vec::new();
    loop {
        let mut serving = Serving::start(&flags);
        let client = Client::connect(&serving.endpoint).await.unwrap();
        for seen in &all {
            check(&client, seen).await;
        }
        if Instant::now() >= until {
            break;
        }
        let mut running = JoinSet::new();
        for seen in std::mem::take(&mut all).into_iter().chain(std::iter::once(Seen::default())) {
            running.spawn(until_killed(client.clone(), seen));
        }
        sleep(Duration::from_millis(fastrand::u64(1..700))).await;
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        while let Some(seen) = running.join_next().await {
            all.extend(seen.unwrap());
        }
        all.truncate(CONVERSATIONS);
    }
    let acknowledged: usize = all.iter().map(|seen| seen.acknowledged.len()).sum();
    println!("{} conversations, {acknowledged} turns acknowledged", all.len());
    assert!(acknowledged > 0);
}

/// Turns until the server is gone. The turn that it took with it is unknown.
async fn until_killed(client: Client, mut seen: Seen) -> Option<Seen> {
    if seen.id.is_empty() {
        let created = client.create_conversation(CreateConversationRequest::default()).await.ok()?;
        seen.id = created.conversation_id;
    }
    loop {
        let turn_id = fastrand::u64(..).to_string();
        let asked = GenerateRequest { turn_id: turn_id.clone(), ..turn(&seen.id, "emulator.quick", "hi") };
        match whole(&client, asked).await {
            Ok(revision) => seen.acknowledged.push((turn_id, revision)),
            Err(ClientError::Call(error)) if error.reason == "CONVERSATION_BUSY" => {
                sleep(Duration::from_millis(2)).await;
            }
            Err(_) => {
                seen.unknown.push(turn_id);
                return Some(seen);
            }
        }
    }
}
