//! A caller of one conversation after another, who leaves at random moments, and what it can say about the stored turns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use outcrop_client::{
    Client, ClientError,
    proto::{CreateConversationRequest, GenerateRequest, Turn, chunk::Event},
};
use parking_lot::RwLock;
use tokio::time::{sleep, timeout};

use super::{Figures, Pace};
use crate::conversations::turn;

/// Longer than a turn takes, with a store that is paused for some seconds.
const HANGS: Duration = Duration::from_mins(1);

/// After this time a conversation without a stored turn is blocked: a lease of 30 s may have to expire more than once.
const BLOCKED: Duration = Duration::from_mins(3);

/// How long an answer to a read may take.
const READS: Duration = Duration::from_secs(20);

/// The turns of one conversation. Its history must stay small, because every turn brings it.
const TURNS: usize = 60;

/// The servers that are up. A server that is killed leaves its place to the next one.
pub(super) type Servers = Arc<RwLock<Vec<Client>>>;

/// What a caller does next, and with whom.
pub(super) struct Caller {
    pub(super) servers: Servers,
    pub(super) random: fastrand::Rng,
    pub(super) pace: Pace,
    pub(super) until: Instant,
}

/// What the caller of one conversation knows of its turns.
#[derive(Default)]
struct Seen {
    id: String,
    /// Answered with OK, in order, with the revision; without one if a later try said that the turn is stored.
    acknowledged: Vec<(String, Option<u32>)>,
    /// Left, cut off, or told to be unknown, and never resolved.
    unknown: BTreeSet<String>,
    /// Reported as not stored.
    refused: BTreeSet<String>,
}

/// What became of one try of a turn.
enum Outcome {
    Stored(Option<u32>),
    Unknown,
    /// With the reason.
    NotStored(String),
}

impl Caller {
    /// Holds conversations until the time is over, and checks each of them.
    pub(super) async fn run(mut self) -> Figures {
        let mut figures = Figures::default();
        while Instant::now() < self.until {
            let seen = self.converse(&mut figures).await;
            self.check(&seen, &mut figures).await;
        }
        figures
    }

    fn server(&mut self) -> Client {
        let servers = self.servers.read();
        servers[self.random.usize(..servers.len())].clone()
    }

    /// Asks a server until one answers.
    async fn insist<T, F: Future<Output = Result<T, ClientError>>>(&mut self, ask: impl Fn(Client) -> F) -> T {
        let began = Instant::now();
        loop {
            let asked = ask(self.server());
            if let Ok(Ok(answer)) = timeout(READS, asked).await {
                return answer;
            }
            assert!(began.elapsed() < BLOCKED, "no server answers");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn converse(&mut self, figures: &mut Figures) -> Seen {
        let created =
            self.insist(async |client| client.create_conversation(CreateConversationRequest::default()).await).await;
        let mut seen = Seen { id: created.conversation_id, ..Seen::default() };
        for number in 0..TURNS {
            if Instant::now() >= self.until {
                break;
            }
            sleep(Duration::from_millis(self.random.u64(self.pace.gap()))).await;
            self.turn(&mut seen, &format!("{number}"), figures).await;
        }
        // A conversation whose turns all failed can still go on.
        let began = Instant::now();
        loop {
            match self.attempt(&seen.id, "last", false).await {
                Outcome::Stored(revision) => {
                    seen.acknowledged.push(("last".to_owned(), revision));
                    break;
                }
                _ if began.elapsed() > BLOCKED => {
                    figures.complain("blocked", &format!("{} takes no turn", seen.id));
                    break;
                }
                _ => sleep(Duration::from_millis(300)).await,
            }
        }
        seen
    }

    /// A turn. One in three callers leaves; half of the turns whose outcome is unknown are sent again until it is known.
    async fn turn(&mut self, seen: &mut Seen, turn_id: &str, figures: &mut Figures) {
        let leaves = self.random.u8(..3) == 0;
        let mut outcome = self.attempt(&seen.id, turn_id, leaves).await;
        if matches!(outcome, Outcome::Unknown) && self.random.bool() {
            let began = Instant::now();
            while !matches!(outcome, Outcome::Stored(_)) && began.elapsed() < BLOCKED {
                sleep(Duration::from_millis(self.random.u64(10..200))).await;
                outcome = match self.attempt(&seen.id, turn_id, false).await {
                    // What an earlier try has done is still unknown.
                    Outcome::NotStored(_) => Outcome::Unknown,
                    known => known,
                };
            }
            figures.resolved += 1;
        }
        match outcome {
            Outcome::Stored(revision) => seen.acknowledged.push((turn_id.to_owned(), revision)),
            Outcome::Unknown => drop(seen.unknown.insert(turn_id.to_owned())),
            Outcome::NotStored(reason) => {
                seen.refused.insert(turn_id.to_owned());
                *figures.refused.entry(reason).or_default() += 1;
            }
        }
    }

    async fn attempt(&mut self, id: &str, turn_id: &str, leaves: bool) -> Outcome {
        let asked = GenerateRequest { turn_id: turn_id.to_owned(), ..turn(id, "emulator.quick", turn_id) };
        // Some leave before the turn has begun, some while it is stored, some after it.
        let most = if self.random.bool() { 40_000 } else { 400_000 };
        let limit = if leaves { Duration::from_micros(self.random.u64(..most)) } else { HANGS };
        match timeout(limit, whole(self.server(), asked)).await {
            Ok(Ok(revision)) => Outcome::Stored(Some(revision)),
            Ok(Err(ClientError::Call(error))) => match error.reason.as_str() {
                "CONVERSATION_TURN_STORED" => Outcome::Stored(None),
                // A server that was killed says nothing.
                "" | "CONVERSATION_OUTCOME_UNKNOWN" => Outcome::Unknown,
                _ => Outcome::NotStored(error.reason),
            },
            Ok(Err(_)) | Err(_) => Outcome::Unknown,
        }
    }

    /// What was acknowledged is there once and in order, what was refused is not, and what is unknown is there once at the most.
    async fn check(&mut self, seen: &Seen, figures: &mut Figures) {
        let (conversation, turns) = self.insist(async |client| client.conversation(&seen.id).await).await;
        let stored: Vec<&str> = turns.iter().map(|turn| turn.turn_id.as_str()).collect();
        let mut times = BTreeMap::<&str, u64>::new();
        for turn_id in &stored {
            *times.entry(turn_id).or_default() += 1;
        }
        let id = &seen.id;
        for (turn_id, count) in times.iter().filter(|(_, count)| **count > 1) {
            figures.complain("twice", &format!("{turn_id} is {count} times in {id}"));
        }
        for (turn_id, revision) in &seen.acknowledged {
            // A turn that was stored late would stand between a turn and the history that it was asked on.
            let place = revision.map_or_else(
                || stored.contains(&turn_id.as_str()),
                |revision| stored.get(revision as usize - 1) == Some(&turn_id.as_str()),
            );
            if !place {
                figures.complain("lost", &format!("{turn_id} is not at {revision:?} in {id}: {stored:?}"));
            }
        }
        let mut acknowledged = seen.acknowledged.iter().map(|(turn_id, _)| turn_id.as_str());
        let certain = stored.iter().filter(|turn_id| !seen.unknown.contains(**turn_id));
        if !certain.copied().eq(acknowledged.by_ref()) {
            figures.complain("disordered", &format!("{stored:?} in {id}, not {:?}", seen.acknowledged));
        }
        for turn_id in stored.iter().filter(|turn_id| seen.refused.contains(**turn_id)) {
            figures.complain("refused and stored", &format!("{turn_id} in {id}"));
        }
        if conversation.revision as usize != stored.len() || !turns.iter().all(is_whole) {
            figures.complain("half", &format!("revision {} with {} turns in {id}", conversation.revision, turns.len()));
        }
        figures.conversations += 1;
        figures.acknowledged += seen.acknowledged.len() as u64;
        figures.unknown += seen.unknown.len() as u64;
        figures.unknown_stored += stored.iter().filter(|turn_id| seen.unknown.contains(**turn_id)).count() as u64;
        let deleted = self.server().delete_conversation(id).await;
        figures.deleted += u64::from(deleted.is_ok());
    }
}

fn is_whole(turn: &Turn) -> bool {
    turn.messages.len() == 2
}

/// The revision of the conversation with this turn.
async fn whole(client: Client, asked: GenerateRequest) -> Result<u32, ClientError> {
    let mut chunks = Box::pin(client.generate(asked)).await?;
    let mut revision = None;
    while let Some(chunk) = chunks.next().await? {
        if let Some(Event::Finish(finish)) = chunk.event {
            revision = finish.conversation_revision;
        }
    }
    Ok(revision.expect("OK means that the turn is stored"))
}
