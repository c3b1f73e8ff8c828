//! Conversations in Redis: several servers share them, and what was acknowledged is there when Redis comes back.
//!
//! - `server` a Redis and a cluster for tests
//! - `cluster`, `tls`, `slow` conversations in a cluster, over TLS, and far away

mod cluster;
pub(crate) mod server;
mod slow;
mod tls;

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop::conversation::settings::{ConversationSettings, RedisSettings};
use outcrop_client::{
    Client,
    proto::{CreateConversationRequest, GenerateRequest},
};
use tokio::time::sleep;

use self::server::Redis;
use crate::{
    conversations::turn,
    harness::{Harness, collect, request, soon, text_of},
    process::{Serving, outcrop, run},
};

async fn server_at(address: &str) -> Harness {
    Harness::with(|settings| {
        settings.attempts = 1;
        settings.conversations = ConversationSettings::Redis(RedisSettings::at(address));
    })
    .await
}

async fn server_on(redis: &Redis) -> Harness {
    server_at(&redis.address()).await
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
    let mut serving = Serving::start(&["--log", "off", "--grace", "100ms", "--conversations", &redis.address()]);
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
    assert_eq!(redis.say(&format!("DEL outcrop:{{/{id}}}:lease")), ":1");
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
    // It was asked for room and did not answer, so the turn is not stored.
    assert_eq!((error.reason.as_str(), error.metadata["phase"].as_str()), ("CONVERSATION_STORE", "after_content"));
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

#[test]
fn a_redis_that_is_away_when_the_server_starts_is_said_and_a_wrong_one_ends_it() {
    let Some(redis) = Redis::start_with("redis-password", &["--requirepass", "swordfish"]) else { return };
    // Bound by this test, which does not listen on it, so that no other process gets it.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let away = format!("redis://{}", bound.local_addr().unwrap());
    for (address, hint) in
        [(away, "refused"), (redis.address().replace("redis://", "rediss://"), "does not speak TLS, write redis://")]
    {
        let mut serving = Serving::start(&["--conversations", &address]);
        serving.signal("-TERM");
        serving.child.wait().unwrap();
        let said = std::io::read_to_string(serving.child.stderr.take().unwrap()).unwrap();
        assert!(said.contains("Redis cannot be reached") && said.contains(hint) && said.contains(&address), "{said}");
    }
    let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--conversations"];
    for (address, password, said) in [
        (redis.address(), None, "--conversations-password-file"),
        (redis.address(), Some("wrong"), "Redis refuses the user or the password"),
        (format!("{}99", redis.address()), Some("swordfish"), "Name another in the address"),
        (format!("{},127.0.0.1:1", redis.address().trim_end_matches("/0")), Some("swordfish"), "they are no cluster"),
    ] {
        let mut command = outcrop(&[&flags[..], &[&address]].concat());
        command.envs(password.map(|password| ("OUTCROP_CONVERSATIONS_PASSWORD", password)));
        let (_, err, code) = run(&mut command);
        assert!(err.contains(said) && code == Some(1), "{address}: {code:?} {err}");
        assert!(!err.contains("swordfish"), "{err}");
    }
    let mut command = outcrop(&[&flags[..], &[&redis.address()]].concat());
    Serving::listening(command.env("OUTCROP_CONVERSATIONS_PASSWORD", "swordfish"));
}
