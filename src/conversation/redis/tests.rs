//! Tests of the engine on a real Redis: what a turn sends and reads, and how an owner is counted.

#![expect(clippy::print_stdout, reason = "figures")]

use std::time::Instant;

use futures_util::future::join_all;

use super::*;
use crate::{
    conversation::bounds::Bounds,
    proto::{ConversationBounds, Message, Turn},
    redis::server::Server,
};

fn engine(server: &Server) -> Redis {
    Redis::new(server.connection())
}

const NO_BOUNDS: Bounds =
    Bounds { messages: u32::MAX, tokens: u32::MAX, bytes: u64::MAX, age: Duration::from_hours(1) };
const NO_LIMITS: OwnerLimits = OwnerLimits { conversations: u64::MAX, bytes: u64::MAX };

fn key(id: &str) -> Key {
    Key { owner: String::new(), id: id.to_owned() }
}

async fn create(redis: &Redis, id: &str, limits: OwnerLimits) -> Created {
    let bounds =
        ConversationBounds { max_age: prost_types::Duration::try_from(NO_BOUNDS.age).ok(), ..Default::default() };
    let origin = Conversation { conversation_id: id.to_owned(), bounds: Some(bounds), ..Conversation::default() };
    let head = Head { used_at: crate::conversation::embedded::now(), ..Head::default() };
    redis.create(&key(id), &Record { origin, head }, limits).await.unwrap()
}

/// How a turn is run.
#[derive(Clone, Copy)]
struct Run {
    /// The bounds of what is read before it.
    read: Bounds,
    /// The bounds of what stays.
    kept: Bounds,
    /// The most bytes of the owner.
    owner_bytes: u64,
}

const RUN: Run = Run { read: NO_BOUNDS, kept: NO_BOUNDS, owner_bytes: u64::MAX };

/// A turn, with what it read.
async fn turn(redis: &Redis, id: &str, turn_id: &str, run: Run) -> (Taken, Option<Appended>) {
    let turn_request =
        TurnRequest { turn_id: turn_id.to_owned(), bounds: run.read, bytes: 0, owner_bytes: run.owner_bytes };
    let taken = redis.take(&key(id), &turn_request).await.unwrap();
    let Taken::Granted(grant) = &taken else { return (taken, None) };
    let messages = vec![Message::default(), Message::default()];
    let turn =
        Turn { messages, turn_id: turn_id.to_owned(), stop_reason: 0, model_id: "m".repeat(200), ..Turn::default() };
    let append = Append {
        lease: grant.lease.clone(),
        turn_id: turn_id.to_owned(),
        kept: StoredTurn { turn: Some(turn), tokens: 3 },
        title: "a title".to_owned(),
        at: crate::conversation::embedded::now(),
        bounds: run.kept,
        origin_bytes: grant.record.bytes() - grant.record.head.bytes,
        turns_bytes: grant.record.head.bytes,
        owner_bytes: run.owner_bytes,
    };
    let appended = redis.append(append).await.unwrap();
    (taken, Some(appended))
}

/// The bytes of what is stored, read back.
async fn stored_bytes(redis: &Redis, ids: &[String]) -> u64 {
    let mut sum = 0;
    for id in ids {
        sum += redis.record(&key(id)).await.unwrap().map_or(0, |record| record.bytes());
    }
    sum
}

#[tokio::test]
async fn a_turn_sends_and_reads_as_much_in_a_long_conversation_as_in_a_short_one() {
    let Some(server) = Server::start() else { return };
    let redis = engine(&server);
    create(&redis, "c", NO_LIMITS).await;
    let run = Run { read: Bounds { messages: 20, ..NO_BOUNDS }, ..RUN };
    let mut costs = Vec::new();
    for block in 0..20 {
        let before = (server.info("total_net_input_bytes:"), server.info("total_net_output_bytes:"), Instant::now());
        for number in 0..100 {
            let (taken, appended) = turn(&redis, "c", &format!("{block}-{number}"), run).await;
            let Taken::Granted(grant) = taken else { panic!("{taken:?}") };
            assert!(appended == Some(Appended::Stored) && grant.turns.len() <= 10);
        }
        let after = (server.info("total_net_input_bytes:"), server.info("total_net_output_bytes:"));
        costs.push(((after.0 - before.0) / 100, (after.1 - before.1) / 100, before.2.elapsed() / 100));
    }
    println!("bytes sent, bytes read and time of a turn, for each hundred turns: {costs:?}");
    assert_eq!(redis.record(&key("c")).await.unwrap().unwrap().head.next, 2_000);
    assert!(2 * costs[19].0 < 3 * costs[1].0, "{costs:?}");
    assert!(2 * costs[19].1 < 3 * costs[1].1, "{costs:?}");
    // All of them are removed by the next turn, with a number of commands that hardly depends on how many they are.
    let calls = server.info(":calls=");
    turn(&redis, "c", "last", Run { kept: Bounds { messages: 2, ..NO_BOUNDS }, ..run }).await;
    let calls = server.info(":calls=") - calls;
    let head = redis.record(&key("c")).await.unwrap().unwrap().head;
    assert_eq!((head.first, head.next, head.messages, head.tokens), (2_000, 2_001, 2, 3));
    assert_eq!(redis.turns(&key("c"), 0, PageLimit { turns: 9, bytes: 9_000 }).await.unwrap().len(), 1);
    assert!(calls < 200, "{calls} commands for 2000 turns");
    assert_eq!(server.say("HLEN outcrop:{/c}:ids").lines().next().unwrap(), ":1");
    assert_eq!(redis.total("").await.unwrap(), stored_bytes(&redis, &["c".to_owned()]).await);
}

#[tokio::test]
async fn an_owner_is_counted_exactly_at_any_concurrency() {
    let Some(server) = Server::start() else { return };
    let redis = engine(&server);
    let most = OwnerLimits { conversations: 12, bytes: 8_000 };
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let created = join_all(ids.iter().map(|id| create(&redis, id, most))).await;
    assert_eq!(created.iter().filter(|created| **created == Created::Stored).count(), 12);
    let run = Run { owner_bytes: most.bytes, ..RUN };
    let mut refused = 0;
    for round in 0..6 {
        let turn_id = round.to_string();
        let turns = join_all(ids.iter().map(|id| turn(&redis, id, &turn_id, run))).await;
        refused += turns.iter().filter(|(_, appended)| *appended == Some(Appended::NoRoom)).count();
        let total = redis.total("").await.unwrap();
        assert_eq!(total, stored_bytes(&redis, &ids).await);
        assert!(total <= most.bytes, "{total}");
    }
    assert!(refused > 0);
    assert!(redis.total("").await.unwrap() + 400 > most.bytes, "the room is used");
    // Older turns make room for newer ones of the same conversation.
    let first = ids.iter().zip(&created).find(|(_, created)| **created == Created::Stored).unwrap().0;
    let trimmed = Run { kept: Bounds { bytes: 300, ..NO_BOUNDS }, ..run };
    assert_eq!(turn(&redis, first, "trimmed", trimmed).await.1, Some(Appended::Stored));
    assert_eq!(redis.total("").await.unwrap(), stored_bytes(&redis, &ids).await);
    // A conversation that Redis has removed, because it has expired, is counted out by the next change.
    server.say(&format!("DEL outcrop:{{/{first}}}:head"));
    server.say(&format!("ZADD outcrop:{{/}}:expiry 1 {first}"));
    assert_eq!(create(&redis, "new", most).await, Created::Stored);
    let all: Vec<_> = ids.iter().cloned().chain(["new".to_owned()]).collect();
    assert_eq!(redis.total("").await.unwrap(), stored_bytes(&redis, &all).await);
    for id in &all {
        redis.remove(&key(id)).await.unwrap();
    }
    assert_eq!(redis.total("").await.unwrap(), 0);
    assert_eq!(server.say("ZCARD outcrop:{/}:expiry").lines().next().unwrap(), ":0");
}

#[tokio::test]
async fn the_account_of_an_owner_lives_as_long_as_its_longest_conversation() {
    let Some(server) = Server::start() else { return };
    let redis = engine(&server);
    create(&redis, "long", NO_LIMITS).await;
    create(&redis, "short", NO_LIMITS).await;
    turn(&redis, "long", "1", RUN).await;
    let short = Run { kept: Bounds { age: Duration::from_secs(1), ..NO_BOUNDS }, ..RUN };
    turn(&redis, "short", "1", short).await;
    for part in ["expiry", "sizes", "total", "used"] {
        let left = server.say(&format!("PTTL outcrop:{{/}}:{part}"));
        let left: u64 = left.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
        assert!(left > 1_000_000, "{part} lives for {left} ms");
    }
}

#[test]
fn the_braces_of_every_key_are_a_hash_tag() {
    // An empty pair of braces is none, and a brace in a name would end it.
    for owner in ["", "ada", "a{b}c/d%", "}"] {
        let of_owner = [Owner::of(owner).used(), Owner::of(owner).total()];
        let of_one = Keys::of(&Key { owner: owner.to_owned(), id: "i}d".to_owned() }).keys(["head", "lease"]);
        for [one, other] in [of_owner, of_one] {
            let tag = |key: &str| key[key.find('{').unwrap() + 1..key.find('}').unwrap()].to_owned();
            assert_eq!(tag(&one), tag(&other));
            assert!(!tag(&one).is_empty());
        }
    }
    assert_ne!(Owner::of("a{").used(), Owner::of("a_").used());
}
