//! A simulation of callers, servers and a store that misbehaves, in paused time: a turn that was answered with OK is stored exactly
//! once, at the revision that its caller was told, and nothing blocks a conversation.

#![expect(clippy::print_stdout, reason = "the figures of a run")]

mod history;
mod store;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
};

use outcrop_contract::Collector;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::store::Misbehaving;
use super::{
    store::{Key, PageLimit},
    *,
};
use crate::{
    proto::{
        Chunk, CreateConversationRequest, GenerateRequest, GetConversationRequest, GetConversationResponse, Message,
        Turn, chunk::Event, content_block::Block,
    },
    simulation::{self, until_left},
};

/// The owner of all conversations of these tests.
pub(crate) const OWNER: &str = "ada";

/// Servers on one store.
const SERVERS: usize = 2;

/// Conversations of one seed.
const CONVERSATIONS: usize = 2;

/// Callers of one conversation at the same time.
const CALLERS: usize = 3;

/// Turns of one caller.
const TURNS: usize = 5;

/// More than any of these tests stores.
const LIMITS: OwnerLimits = OwnerLimits { conversations: 10_000, bytes: u64::MAX };

/// How long a caller who may leave waits at the most.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What one caller knows of one try of a turn.
#[derive(Debug)]
struct Try {
    turn_id: String,
    /// The messages before the turn, if it began.
    history: Option<Vec<String>>,
    outcome: Outcome,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// OK, with the revision in `finish`.
    Stored(u32),
    /// Refused, because the turn is stored.
    WasStored,
    /// Not stored by this try.
    NotStored(Reason),
    /// The caller left while the turn was being stored, or was told that the outcome is unknown.
    Unknown,
}

fn text_of(messages: &[Message]) -> Vec<String> {
    let blocks = messages.iter().flat_map(|message| &message.content);
    blocks
        .filter_map(|block| if let Some(Block::Text(text)) = &block.block { Some(text.clone()) } else { None })
        .collect()
}

fn chunk(event: Event) -> Chunk {
    Chunk { event: Some(event), ..Chunk::default() }
}

/// A server on this store.
fn server(store: &Misbehaving) -> Conversations {
    let bounds = Bounds { messages: u32::MAX, tokens: u32::MAX, bytes: u64::MAX, ..Bounds::default() };
    Conversations {
        store: Some(Arc::new(store.clone())),
        redis: None,
        bounds,
        limits: LIMITS,
        leases: Leases::default(),
        keeps_budgets: false,
    }
}

/// A server with one conversation, on a store that behaves well and either stores turns or hangs while it does.
pub(crate) async fn with_conversation(hangs: bool) -> (Conversations, String) {
    let store = Misbehaving::new(fastrand::Rng::with_seed(0));
    store.calm().await;
    store.appends_hang.store(hangs, Ordering::Relaxed);
    let server = server(&store);
    let created = server.of(OWNER).create(CreateConversationRequest::default()).await.unwrap();
    (server, created.conversation_id)
}

/// One try of a turn, as [`crate::response::call`] drives it.
async fn try_turn(server: &Conversations, id: &str, turn_id: &str, random: &mut fastrand::Rng, leaves: bool) -> Try {
    let (storing, history) = (AtomicBool::new(false), parking_lot::Mutex::new(None));
    let gaps: Vec<_> = (0..2).map(|_| Duration::from_millis(random.u64(..20_000) * random.u64(..2))).collect();
    let asked = async {
        let mut request = GenerateRequest {
            conversation_id: id.to_owned(),
            turn_id: turn_id.to_owned(),
            prompt: turn_id.to_owned(),
            ..GenerateRequest::default()
        };
        let mut turn = server.of(OWNER).begin(&mut request).await?.unwrap();
        *history.lock() = Some(text_of(&turn.take_history()));
        let mut collector = Collector::default();
        let answer = [Event::Start(Box::default()), Event::Text(format!("re {turn_id}"))];
        for (event, gap) in answer.into_iter().zip(gaps) {
            tokio::select! {
                biased;
                lost = poll_fn(|cx| turn.poll_lost(cx)) => return Err(lost),
                () = sleep(gap) => {}
            }
            collector.add(chunk(event));
        }
        let mut finish = chunk(Event::Finish(Box::default()));
        storing.store(true, Ordering::Relaxed);
        turn.store(collector.into_answer());
        poll_fn(|cx| turn.poll_stored(cx, &mut finish)).await?;
        let Some(Event::Finish(finish)) = finish.event else { panic!("{finish:?}") };
        Ok(finish.conversation_revision.expect("OK means stored"))
    };
    let outcome = match until_left(random, leaves, TIMEOUT, asked).await {
        Some(Ok(revision)) => Outcome::Stored(revision),
        Some(Err(error)) => match error.reason() {
            Reason::ConversationTurnStored => Outcome::WasStored,
            Reason::ConversationOutcomeUnknown => Outcome::Unknown,
            reason => Outcome::NotStored(reason),
        },
        None if storing.into_inner() => Outcome::Unknown,
        None => Outcome::NotStored(Reason::CallerCancelled),
    };
    Try { turn_id: turn_id.to_owned(), history: history.into_inner(), outcome }
}

/// The turns of one caller. A turn without OK is tried again with the same id, or given up.
async fn converse(servers: Vec<Conversations>, id: String, name: String, mut random: fastrand::Rng) -> Vec<Try> {
    let mut tries = Vec::new();
    for number in 0..TURNS {
        let turn_id = format!("{name}.{number}");
        while tries.len() < 6 * TURNS {
            let server = &servers[random.usize(..servers.len())];
            let last = try_turn(server, &id, &turn_id, &mut random, true).await;
            let done = matches!(last.outcome, Outcome::Stored(_) | Outcome::WasStored);
            tries.push(last);
            if done || random.u8(..5) == 0 {
                break;
            }
            sleep(Duration::from_millis(random.u64(..8_000))).await;
        }
    }
    tries
}

/// The stored turns agree with what every caller knows.
fn check(turns: &[Turn], tries: &[Try]) {
    let mut before = Vec::new();
    let mut seen = BTreeMap::new();
    for (at, turn) in turns.iter().enumerate() {
        let id = &turn.turn_id;
        assert_eq!(seen.insert(id.clone(), at), None, "{id} is stored twice");
        assert_eq!(text_of(&turn.messages), [id.clone(), format!("re {id}")], "{id} is stored whole");
        let mut own = tries.iter().filter(|tried| tried.turn_id == *id);
        let asked_on_this = |tried: &Try| {
            tried.history.as_ref() == Some(&before) && matches!(tried.outcome, Outcome::Stored(_) | Outcome::Unknown)
        };
        assert!(own.any(asked_on_this), "{id} was asked on another history than the one before it");
        before.extend(text_of(&turn.messages));
    }
    for tried in tries {
        let at = seen.get(&tried.turn_id);
        match &tried.outcome {
            Outcome::Stored(revision) => assert_eq!(at.map(|at| *at + 1), Some(*revision as usize), "{tried:?}"),
            Outcome::WasStored => assert!(at.is_some(), "{tried:?}"),
            Outcome::NotStored(_) | Outcome::Unknown => {}
        }
    }
}

/// Outcomes by their name.
type Tally = BTreeMap<String, u64>;

async fn simulate(mut random: fastrand::Rng, tally: &mut Tally) {
    let store = Misbehaving::new(random.fork());
    let servers: Vec<_> = (0..SERVERS).map(|_| server(&store)).collect();
    let mut renewals = JoinSet::new();
    for server in servers.clone() {
        renewals.spawn(async move { server.renew_leases().await });
    }
    let mut callers = JoinSet::new();
    let mut all: BTreeMap<String, Vec<Try>> = BTreeMap::new();
    for conversation in 0..CONVERSATIONS {
        let id = servers[0].of(OWNER).create(CreateConversationRequest::default()).await.unwrap().conversation_id;
        all.insert(id.clone(), Vec::new());
        for caller in 0..CALLERS {
            let (servers, id, random) = (servers.clone(), id.clone(), random.fork());
            let name = format!("{conversation}.{caller}");
            callers.spawn(async move { (id.clone(), converse(servers, id, name, random).await) });
        }
    }
    while let Some(done) = callers.join_next().await {
        let (id, tries) = done.unwrap();
        all.get_mut(&id).unwrap().extend(tries);
    }
    store.calm().await;
    for (id, mut tries) in all {
        // The lease of a server that did not release it expires; nothing else blocks the next turn.
        let next = async {
            loop {
                let tried = try_turn(&servers[0], &id, "next", &mut random, false).await;
                if matches!(tried.outcome, Outcome::Stored(_)) {
                    return tried;
                }
                sleep(Duration::from_millis(500)).await;
            }
        };
        let began = Instant::now();
        let next = timeout(3 * leases::LEASE, next).await.unwrap_or_else(|_| panic!("{id} is blocked"));
        assert!(began.elapsed() < 2 * leases::LEASE, "{id} was blocked for {:?}", began.elapsed());
        tries.push(next);
        let all = PageLimit { turns: usize::MAX, bytes: usize::MAX };
        let stored = store.inner.turns(&Key { owner: OWNER.to_owned(), id: id.clone() }, 0, all).await.unwrap();
        check(&stored.into_iter().map(|(_, kept)| kept.turn.unwrap()).collect::<Vec<_>>(), &tries);
        for tried in tries {
            let name = match tried.outcome {
                Outcome::Stored(_) => "stored".to_owned(),
                Outcome::NotStored(reason) => reason.name().to_owned(),
                other => format!("{other:?}"),
            };
            *tally.entry(name).or_default() += 1;
        }
    }
}

#[test]
fn a_turn_answered_ok_is_stored_once_whatever_callers_and_the_store_do() {
    let mut tally = Tally::new();
    let seeds = simulation::run(200, async |random| simulate(random, &mut tally).await);
    println!("seeds {seeds:?}: {tally:?}");
    if seeds.end - seeds.start >= 100 {
        let reached = [
            "stored",
            "WasStored",
            "Unknown",
            "CONVERSATION_BUSY",
            "CONVERSATION_LEASE_LOST",
            "CONVERSATION_STORE",
            Reason::CallerCancelled.name(),
        ];
        for name in reached {
            assert!(tally.contains_key(name), "{name} was never reached: {tally:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_lease_cannot_be_renewed_ends_when_the_lease_does() {
    let store = Misbehaving::new(fastrand::Rng::with_seed(0));
    store.calm().await;
    store.renewals_hang.store(true, Ordering::Relaxed);
    let server = server(&store);
    let id = server.of(OWNER).create(CreateConversationRequest::default()).await.unwrap().conversation_id;
    let mut request = GenerateRequest { conversation_id: id, ..GenerateRequest::default() };
    let mut turn = server.of(OWNER).begin(&mut request).await.unwrap().unwrap();
    let lost = timeout(2 * leases::LEASE, poll_fn(|cx| turn.poll_lost(cx)));
    tokio::select! {
        lost = lost => assert_eq!(lost.expect("a lost lease is noticed").reason(), Reason::ConversationLeaseLost),
        () = server.renew_leases() => {}
    }
}
