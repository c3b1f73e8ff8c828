//! Many conversations at once, whose callers leave at random moments, on servers that are killed and stores that are paused: a turn
//! that was acknowledged is stored once and in order, one that was refused is not stored, and no conversation is blocked.
//!
//! `OUTCROP_TEST_TURNS=1h` is the long form, in which all four stores fit on a small machine at the same time; `OUTCROP_TEST_SEED`
//! repeats the random choices of a run.
//!
//! - `caller` a caller, and what it can say about the stored turns

mod caller;

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use outcrop_client::Client;
use parking_lot::RwLock;
use tokio::{
    task::{JoinSet, block_in_place},
    time::sleep,
};

use self::caller::{Caller, Servers};
use crate::{
    harness::duration_of,
    process::Serving,
    redis::server::{Cluster, Redis},
    stores::Folder,
};

/// Callers at the same time, each with a conversation of its own.
const CALLERS: usize = 40;

/// How long the short form takes.
const SHORT: Duration = Duration::from_secs(5);

/// What the callers have seen.
#[derive(Debug, Default)]
struct Figures {
    conversations: u64,
    acknowledged: u64,
    /// Sent again until their outcome was known.
    resolved: u64,
    unknown: u64,
    unknown_stored: u64,
    deleted: u64,
    refused: BTreeMap<String, u64>,
    kills: u64,
    pauses: u64,
    /// Broken promises, by their kind.
    broken: BTreeMap<&'static str, u64>,
}

impl Figures {
    fn complain(&mut self, kind: &'static str, what: &str) {
        println!("{kind}: {what}");
        *self.broken.entry(kind).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.conversations += other.conversations;
        self.acknowledged += other.acknowledged;
        self.resolved += other.resolved;
        self.unknown += other.unknown;
        self.unknown_stored += other.unknown_stored;
        self.deleted += other.deleted;
        for (reason, times) in other.refused {
            *self.refused.entry(reason).or_default() += times;
        }
        for (kind, times) in other.broken {
            *self.broken.entry(kind).or_default() += times;
        }
    }
}

/// How much happens. The long form is slow enough for a machine of two cores that runs all stores.
#[derive(Clone, Copy)]
struct Pace {
    long: bool,
}

impl Pace {
    /// Milliseconds between the turns of a caller.
    fn gap(self) -> Range<u64> {
        if self.long { 200..1_500 } else { 5..60 }
    }

    /// Milliseconds until the next kill or pause.
    fn chaos(self) -> Range<u64> {
        if self.long { 2_000..20_000 } else { 300..1_500 }
    }

    /// How long a store is paused, in milliseconds: at times longer than its servers wait for an answer.
    fn pause(self) -> Range<u64> {
        if self.long { 10..9_000 } else { 10..2_500 }
    }
}

/// Servers on one store, and what happens to them.
struct Scene {
    name: &'static str,
    flags: Vec<String>,
    servers: usize,
    killed: bool,
    /// Redis processes that are paused.
    redis: Vec<Redis>,
}

impl Scene {
    fn start_server(&self) -> Serving {
        Serving::start(&self.flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    async fn play(self) {
        let time = duration_of("OUTCROP_TEST_TURNS", SHORT);
        let seed = std::env::var("OUTCROP_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        println!("{}: OUTCROP_TEST_SEED={seed} for {time:?}", self.name);
        let mut random = fastrand::Rng::with_seed(seed);
        let (until, pace) = (Instant::now() + time, Pace { long: time > Duration::from_secs(30) });
        let mut processes: Vec<_> = (0..self.servers).map(|_| self.start_server()).collect();
        let mut clients = Vec::new();
        for serving in &processes {
            clients.push(Client::connect(&serving.endpoint).await.unwrap());
        }
        let servers: Servers = Arc::new(RwLock::new(clients));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let caller = Caller { servers: Arc::clone(&servers), random: random.fork(), pace, until };
            callers.spawn(caller.run());
        }
        let mut figures = Figures::default();
        let (mut killing, mut pausing) = (random.fork(), random.fork());
        let kills = async {
            let mut kills = 0;
            while self.killed && Instant::now() < until {
                sleep(Duration::from_millis(killing.u64(pace.chaos()))).await;
                let at = killing.usize(..processes.len());
                block_in_place(|| {
                    processes[at].child.kill().unwrap();
                    processes[at].child.wait().unwrap();
                    processes[at] = self.start_server();
                });
                let client = Client::connect(&processes[at].endpoint).await.unwrap();
                servers.write()[at] = client;
                kills += 1;
            }
            kills
        };
        let pauses = async {
            let mut pauses = 0;
            while !self.redis.is_empty() && Instant::now() < until {
                sleep(Duration::from_millis(pausing.u64(pace.chaos()))).await;
                let redis = &self.redis[pausing.usize(..self.redis.len())];
                redis.signal("-STOP");
                sleep(Duration::from_millis(pausing.u64(pace.pause()))).await;
                redis.signal("-CONT");
                pauses += 1;
            }
            pauses
        };
        let (kills, pauses) = tokio::join!(kills, pauses);
        while let Some(seen) = callers.join_next().await {
            figures.add(seen.unwrap());
        }
        (figures.kills, figures.pauses) = (kills, pauses);
        self.report(&figures, time);
    }

    fn report(&self, figures: &Figures, time: Duration) {
        let Figures { acknowledged, resolved, unknown, unknown_stored, kills, pauses, broken, .. } = figures;
        let of = |kind: &str| broken.get(kind).copied().unwrap_or_default();
        println!(
            "{}: {time:?}, {} conversations, {acknowledged} turns acknowledged, {resolved} resolved by another try, {unknown} unknown \
             ({unknown_stored} of them stored), refused {:?}, {kills} kills, {pauses} pauses, {} deleted: lost {}, twice {}, \
             disordered {}, refused and stored {}, half {}, blocked {}",
            self.name,
            figures.conversations,
            figures.refused,
            figures.deleted,
            of("lost"),
            of("twice"),
            of("disordered"),
            of("refused and stored"),
            of("half"),
            of("blocked"),
        );
        assert!(broken.is_empty(), "{}: {broken:?}", self.name);
        assert!(*acknowledged > CALLERS as u64, "{}: {acknowledged} turns", self.name);
    }
}

/// A scene with these flags and a model that answers quickly.
fn scene(name: &'static str, folder: &Folder, conversations: &str) -> Scene {
    fs::create_dir_all(folder.file("scripts")).unwrap();
    let script = r#"{"steps": [{"reply": "an answer of some words"}], "pace": {"gap_ms": 1}}"#;
    fs::write(folder.file("scripts/quick.json"), script).unwrap();
    let scripts = folder.file("scripts");
    let flags = ["--log", "off", "--conversations", conversations, "--scripts", &scripts];
    Scene { name, flags: flags.map(str::to_owned).to_vec(), servers: 1, killed: false, redis: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_memory() {
    let folder = Folder::new("turns-memory");
    // Its conversations end with its server, so it is not killed.
    scene("memory", &folder, "memory").play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_file_whose_server_is_killed() {
    let folder = Folder::new("turns-file");
    let file = folder.file("conversations.redb");
    Scene { killed: true, ..scene("file", &folder, &file) }.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_redis_that_is_paused_and_whose_servers_are_killed() {
    let folder = Folder::new("turns-redis");
    let Some(redis) = Redis::start("turns-redis-store") else { return };
    let address = redis.address();
    Scene { killed: true, servers: 2, redis: vec![redis], ..scene("redis", &folder, &address) }.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_turn_is_lost_in_a_cluster_whose_nodes_are_paused_and_whose_servers_are_killed() {
    let folder = Folder::new("turns-cluster");
    let Some(cluster) = Cluster::start("turns-cluster-store") else { return };
    let address = cluster.address();
    Scene { killed: true, servers: 2, redis: cluster.nodes, ..scene("cluster", &folder, &address) }.play().await;
}
