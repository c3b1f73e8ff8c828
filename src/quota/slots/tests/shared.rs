//! Servers that share a real Redis.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{
    super::{
        Claim, Ejection, Resources, Share, Slots,
        in_redis::{InRedis, ejections_key, key},
        table::{LEASE, REMEMBERED, Request, ServerId, Table, millis},
    },
    history::{Recorder, is_linearizable},
    request,
};
use crate::redis::{Probe, server::Server};

/// A server that claims the same all the time, and keeps what it was granted.
#[derive(Default)]
pub(super) struct Client {
    claims: Mutex<Vec<Claim>>,
    shares: Mutex<HashMap<Arc<str>, Share>>,
    connections: Mutex<Vec<bool>>,
    learned: Mutex<Vec<Ejection>>,
}

impl Client {
    pub(super) fn of<const N: usize>(claims: [Claim; N]) -> Self {
        Self { claims: Mutex::new(claims.into()), ..Self::default() }
    }

    pub(super) fn set<const N: usize>(&self, claims: [Claim; N]) {
        *self.claims.lock() = claims.into();
    }

    pub(super) fn share(&self, resource: &str) -> Option<Share> {
        self.shares.lock().get(resource).copied()
    }

    pub(super) fn held(&self, resource: &str) -> Option<u64> {
        self.share(resource).map(|share| share.held)
    }

    /// Each change from connected to not connected and back.
    pub(super) fn connections(&self) -> Vec<bool> {
        self.connections.lock().clone()
    }
}

impl Resources for Client {
    fn claims(&self) -> Vec<Claim> {
        self.claims.lock().clone()
    }

    fn granted(&self, shares: &[(Arc<str>, Share)]) {
        self.shares.lock().extend(shares.iter().cloned());
    }

    fn is_connected(&self, connected: bool) {
        self.connections.lock().push(connected);
    }

    fn ejections(&self) -> Vec<Ejection> {
        Vec::new()
    }

    fn learned(&self, ejections: &[Ejection]) {
        self.learned.lock().extend(ejections.iter().cloned());
    }
}

/// An idle claim.
pub(super) fn claim(resource: &str, capacity: u64) -> Claim {
    Claim { resource: resource.into(), capacity, ..Claim::default() }
}

/// Waits until something is so, while servers run.
async fn until(runs: &[(&Slots, &Client)], is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let timeout = tokio::time::timeout(Duration::from_secs(20), look);
    tokio::select! {
        _ = join_all(runs.iter().map(|(slots, client)| slots.run(*client))) => {}
        looked = timeout => {
            let states: Vec<_> = runs.iter().map(|(_, client)| (client.shares.lock().clone(), client.connections())).collect();
            looked.unwrap_or_else(|_| panic!("it is not so within a minute: {states:?}"));
        }
    }
}

/// A server whose table runs five times as fast as Redis, so that tests need not wait.
fn fast(server: &Server) -> Slots {
    let clock = "(function() local time = redis.call('TIME') return {time[1] * 5, time[2] * 5} end)()";
    Slots::on(Arc::new(InRedis::with_clock(server.connection(), clock)))
}

#[tokio::test]
async fn concurrent_renewals_in_redis_are_linearizable() {
    let Some(server) = Server::start() else { return };
    let recorder = Recorder::default();
    let servers = (1..=5).map(async |id| {
        let (table, id) = (InRedis::new(server.connection()), ServerId(id));
        let mut random = fastrand::Rng::with_seed(id.0);
        let (mut held, mut born) = (10, 0);
        for sequence in 1..=80 {
            let wanted = random.u64(..150);
            let request = Request { held, wanted, spent: 3 * sequence, born, ..request(sequence, 10_000) };
            let requests = [request];
            let copies = if random.u8(..4) == 0 { 2 } else { 1 };
            let copies = (0..copies).map(async |_| {
                let message = recorder.sent(id, &requests);
                let answers = table.renew(id, &requests).await.unwrap();
                recorder.processed(message, &answers);
                recorder.answered(message);
                answers[0].unwrap()
            });
            let reply = join_all(copies).await[0];
            (held, born) = (reply.held, reply.born);
            if random.u8(..20) == 0 {
                sleep(Duration::from_millis(random.u64(..5))).await;
            }
        }
    });
    join_all(servers).await;
    let history = recorder.history("tokens");
    assert!(history.len() >= 2 * 5 * 80);
    assert!(is_linearizable(history));
}

#[tokio::test]
async fn servers_keep_their_shares_while_redis_is_away_and_when_it_comes_back_empty() {
    let Some(mut server) = Server::start() else { return };
    let clients = [0; 2].map(|_| Client::of([claim("tokens", 100), claim("streams", 4)]));
    let slots = [fast(&server), fast(&server)];
    let runs = [(&slots[0], &clients[0]), (&slots[1], &clients[1])];
    let halves = || clients.iter().all(|client| (client.held("tokens"), client.held("streams")) == (Some(50), Some(2)));
    until(&runs, halves).await;
    server.stop();
    until(&runs, || clients.iter().all(|client| client.connections() == [false])).await;
    assert!(halves());
    server.restart();
    until(&runs, || clients.iter().all(|client| client.connections() == [false, true])).await;
    assert!(halves());
    // One that leaves gives its share to the other.
    slots[1].leave(&clients[1]).await;
    until(&runs[..1], || clients[0].held("tokens") == Some(100) && clients[0].held("streams") == Some(4)).await;
}

#[tokio::test]
async fn a_key_of_something_else_is_left_alone_and_the_other_resources_are_shared() {
    let Some(server) = Server::start() else { return };
    let table = InRedis::new(server.connection());
    let requests = ["text", "hash", "list", "good"].map(|name| Request { resource: name.into(), ..request(1, 50) });
    server.say(&format!("SET {} hello", key("text")));
    server.say(&format!("HSET {} born 1 of others", key("hash")));
    server.say(&format!("RPUSH {} 1", key("list")));
    server.say(&format!("SET {} hello", ejections_key()));
    let answers = table.renew(ServerId(1), &requests).await.unwrap();
    assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, true]);
    assert_eq!(table.eject(&[]).await.unwrap(), None);
    assert!(server.say(&format!("GET {}", key("text"))).contains("hello"));
    // A server goes on, and shares the resource when the key is deleted.
    let (slots, client) = (fast(&server), Client::of([claim("text", 50), claim("good", 50)]));
    until(&[(&slots, &client)], || client.held("good").is_some()).await;
    assert_eq!((client.share("text"), client.connections()), (None, vec![]));
    server.say(&format!("DEL {}", key("text")));
    until(&[(&slots, &client)], || client.share("text").is_some()).await;
}

#[tokio::test]
async fn a_redis_that_cannot_run_the_scripts_is_refused_with_what_to_do() {
    for (command, said) in [("EVAL", "Redis 5"), ("TIME", "Redis 5"), ("PEXPIRE", "Redis 5")] {
        let Some(server) = Server::start_with(&["--rename-command", command, ""]) else { return };
        let Err(Probe::Misconfigured(problem)) = Slots::open(&server.connection()).await else {
            panic!("{command} is missing, and it is used")
        };
        assert!(problem.contains(said), "{problem}");
    }
    let Some(server) = Server::start() else { return };
    server.say("ACL SETUSER default -time");
    let refused = Slots::open(&server.connection()).await;
    assert!(
        matches!(&refused, Err(Probe::Misconfigured(problem)) if problem.contains("outcrop:{quota}:")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_used_when_it_is_there() {
    let Some(mut server) = Server::start() else { return };
    server.stop();
    let (slots, client) = (Slots::open(&server.connection()).await.unwrap(), Client::of([claim("tokens", 50)]));
    until(&[(&slots, &client)], || client.connections() == [false]).await;
    assert_eq!(client.share("tokens"), None);
    server.restart();
    until(&[(&slots, &client)], || client.held("tokens") == Some(5)).await;
}

#[tokio::test]
async fn keys_live_as_long_as_what_they_count() {
    let Some(server) = Server::start() else { return };
    let table = InRedis::new(server.connection());
    let day = Duration::from_hours(24);
    let requests = [("rate", None), ("budget", Some(day))].map(|(name, lasts)| Request {
        resource: name.into(),
        lasts,
        ..request(1, 50)
    });
    table.renew(ServerId(1), &requests).await.unwrap();
    let lives = |resource: &str| -> u64 {
        let left = server.say(&format!("PTTL {}", key(resource)));
        left.lines().next().unwrap().trim_start_matches(':').parse().unwrap()
    };
    let least = millis(LEASE + REMEMBERED);
    assert!((least - 60_000..=least).contains(&lives("rate")), "{}", lives("rate"));
    assert!((least..=least + millis(day)).contains(&lives("budget")), "{}", lives("budget"));
    assert!(lives("budget") > millis(day));
}

#[tokio::test]
async fn many_resources_are_renewed_at_once() {
    let Some(server) = Server::start() else { return };
    let table = InRedis::new(server.connection());
    let names: Vec<Arc<str>> = (0..300).map(|number| format!("budget of {{caller}} {number}").into()).collect();
    let requests: Vec<_> = names.iter().map(|name| Request { resource: name.clone(), ..request(1, 50) }).collect();
    let before = server.info(":calls=");
    let answers = table.renew(ServerId(1), &requests).await.unwrap();
    assert_eq!(answers.iter().flatten().count(), 300);
    assert!(server.say("DBSIZE").starts_with(":300"));
    assert!(server.say("INFO commandstats").contains("cmdstat_eval:calls=5,"), "{before}");
}

#[tokio::test]
async fn open_circuit_breakers_are_shared_until_they_end() {
    let Some(server) = Server::start() else { return };
    let (a, b) = (InRedis::new(server.connection()), InRedis::new(server.connection()));
    let ejection = |target: &str, millis| Ejection { target: target.into(), remaining: Duration::from_millis(millis) };
    a.eject(&[ejection("nova@us-east-1", 60_000), ejection("short", 1)]).await.unwrap();
    sleep(Duration::from_millis(5)).await;
    // A shorter time does not replace a longer one.
    let known = b.eject(&[ejection("nova@us-east-1", 10)]).await.unwrap().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].target.as_ref(), "nova@us-east-1");
    assert!(known[0].remaining > Duration::from_secs(30), "{known:?}");
}
