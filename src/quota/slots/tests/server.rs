//! One server and its shares: when it renews, what it does while the table is away, and what it gives back.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{
    super::{
        Claim, Ejection, MIN_INTERVAL, Resources, Share, Slots,
        holdings::Holdings,
        memory::Memory,
        table::{Answer, CONFIRMING, LEASE, Reply, Request, ServerId, Table, TableError},
    },
    shared::{Client, claim},
};
use crate::telemetry::logs::captured::captured;

/// A table that fails or does not answer when it is told to.
struct Flaky {
    memory: Memory,
    mode: Mutex<Mode>,
    renewals: Mutex<Vec<Instant>>,
}

#[derive(Clone, Copy)]
enum Mode {
    Answers,
    Fails,
    Hangs,
}

#[tonic::async_trait]
impl Table for Flaky {
    async fn renew(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError> {
        self.renewals.lock().push(Instant::now());
        let mode = *self.mode.lock();
        match mode {
            Mode::Answers => Ok(self.memory.process(server, requests)),
            Mode::Fails => Err(TableError("connection refused".to_owned())),
            Mode::Hangs => std::future::pending().await,
        }
    }

    async fn eject(&self, ejections: &[Ejection]) -> Result<Option<Vec<Ejection>>, TableError> {
        self.memory.eject(ejections).await
    }
}

fn flaky() -> Arc<Flaky> {
    Arc::new(Flaky { memory: Memory::default(), mode: Mutex::new(Mode::Answers), renewals: Mutex::default() })
}

/// Long enough for a table to let shares grow, and for servers to divide them.
const SETTLED: Duration = CONFIRMING.saturating_add(Duration::from_secs(5));

/// Lets servers run for some time.
async fn run_for(time: Duration, servers: &[(&Slots, &Client)]) {
    let runs = servers.iter().map(|(slots, client)| slots.run(*client));
    let _ = timeout(time, futures_util::future::join_all(runs)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_alone_has_a_tenth_at_first_and_then_everything() {
    let memory = Arc::new(Memory::default());
    let (slots, client) = (Slots::in_memory(&memory), Client::of([claim("tokens", 1_000)]));
    run_for(Duration::from_secs(4), &[(&slots, &client)]).await;
    assert_eq!(client.held("tokens"), Some(100));
    run_for(Duration::from_secs(3), &[(&slots, &client)]).await;
    assert_eq!(client.share("tokens"), Some(Share { held: 1_000, servers: 1, spent: 0 }));
}

#[tokio::test(start_paused = true)]
async fn servers_divide_a_resource_and_take_over_from_one_that_left_or_died() {
    let memory = Arc::new(Memory::default());
    let servers = [0; 3].map(|_| (Slots::in_memory(&memory), Client::of([claim("tokens", 900)])));
    let [(a, at_a), (b, at_b), (c, at_c)] = &servers;
    run_for(SETTLED, &[(a, at_a), (b, at_b), (c, at_c)]).await;
    assert_eq!([at_a, at_b, at_c].map(|client| client.held("tokens")), [Some(300); 3]);
    // One that leaves gives its share back at once.
    c.leave(at_c).await;
    run_for(Duration::from_secs(2), &[(a, at_a), (b, at_b)]).await;
    assert_eq!([at_a, at_b].map(|client| client.held("tokens")), [Some(450); 2]);
    // One that dies holds it until its lease expires.
    run_for(LEASE.saturating_sub(Duration::from_secs(2)), &[(a, at_a)]).await;
    assert_eq!(at_a.held("tokens"), Some(450));
    run_for(Duration::from_secs(4), &[(a, at_a)]).await;
    assert_eq!(at_a.share("tokens"), Some(Share { held: 900, servers: 1, spent: 0 }));
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_no_longer_claimed_is_given_back() {
    let memory = Arc::new(Memory::default());
    let servers = [0; 2].map(|_| (Slots::in_memory(&memory), Client::of([claim("tokens", 100)])));
    let [(a, at_a), (b, at_b)] = &servers;
    run_for(SETTLED, &[(a, at_a), (b, at_b)]).await;
    assert_eq!(at_a.held("tokens"), Some(50));
    at_b.set([]);
    run_for(Duration::from_secs(3), &[(a, at_a), (b, at_b)]).await;
    assert_eq!(at_a.held("tokens"), Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_began_before_a_smaller_share_arrived_is_not_given_away() {
    let mut holdings = Holdings::default();
    let streams = |in_use| [Claim { in_use, wanted: in_use, ..claim("streams", 10) }];
    let reply = |held| Some(Reply { held, servers: 2, spent: 0, born: 1, at: 1 });
    let requests = holdings.renewal(&streams(0));
    holdings.take(&requests, vec![reply(8)]);
    let requests = holdings.renewal(&streams(2));
    assert_eq!(requests[0].held, 8);
    // Two more begin while the request is on its way.
    assert!(holdings.take(&requests, vec![reply(3)]).unconfirmed);
    assert_eq!(holdings.renewal(&streams(4))[0].held, 4);
    assert_eq!(holdings.renewal(&streams(1))[0].held, 3);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_renewed_once_a_second_and_sooner_when_a_call_waits() {
    let table = flaky();
    let (slots, client) = (Slots::on(table.clone()), Client::of([claim("tokens", 100)]));
    run_for(SETTLED, &[(&slots, &client)]).await;
    table.renewals.lock().clear();
    run_for(Duration::from_secs(20), &[(&slots, &client)]).await;
    let seconds = table.renewals.lock().len();
    assert!((17..=24).contains(&seconds), "{seconds}");
    table.renewals.lock().clear();
    let calls = async {
        for _ in 0..5_000 {
            sleep(Duration::from_millis(1)).await;
            slots.notify();
        }
    };
    join(run_for(Duration::from_secs(5), &[(&slots, &client)]), calls).await;
    let renewals = table.renewals.lock().clone();
    assert!((90..=101).contains(&renewals.len()), "{}", renewals.len());
    assert!(renewals.windows(2).all(|pair| pair[1] - pair[0] >= MIN_INTERVAL));
}

#[tokio::test(start_paused = true)]
async fn a_server_goes_on_with_its_last_share_while_the_table_is_away() {
    for mode in [Mode::Fails, Mode::Hangs] {
        let log = captured();
        let table = flaky();
        let (slots, client) = (Slots::on(table.clone()), Client::of([claim("tokens", 100)]));
        run_for(SETTLED, &[(&slots, &client)]).await;
        assert_eq!((client.held("tokens"), client.connections()), (Some(100), vec![]));
        *table.mode.lock() = mode;
        table.renewals.lock().clear();
        let outage = async {
            // Calls that wait do not make it ask more often.
            for _ in 0..600 {
                sleep(Duration::from_millis(100)).await;
                slots.notify();
            }
            assert_eq!((client.held("tokens"), client.connections()), (Some(100), vec![false]));
            let asked = table.renewals.lock().len();
            assert!((25..=70).contains(&asked), "{asked}");
            *table.mode.lock() = Mode::Answers;
            sleep(Duration::from_secs(5)).await;
        };
        tokio::select! { () = slots.run(&client) => {}, () = outage => {} }
        assert_eq!((client.held("tokens"), client.connections()), (Some(100), vec![false, true]));
        let lines = log.lines();
        let [away, back] = &lines[..] else { panic!("{lines:?}") };
        assert!(away.contains("WARN") && away.contains("goes on with its last share"), "{away}");
        assert!(back.contains("INFO") && back.contains("Redis answers again"), "{back}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_renewal_that_fails_is_not_reported() {
    let table = flaky();
    let (slots, client) = (Slots::on(table.clone()), Client::of([claim("tokens", 100)]));
    let fault = async {
        for _ in 0..10 {
            let before = table.renewals.lock().len();
            *table.mode.lock() = Mode::Fails;
            while table.renewals.lock().len() == before {
                sleep(Duration::from_millis(1)).await;
            }
            *table.mode.lock() = Mode::Answers;
            sleep(Duration::from_secs(3)).await;
        }
    };
    tokio::select! { () = slots.run(&client) => {}, () = fault => {} }
    assert!(client.connections().is_empty());
}

/// A server that begins with open circuit breakers, and opens those that it learns.
struct Breakers {
    open: Mutex<Vec<(Arc<str>, Instant)>>,
    learned: Mutex<Vec<(String, u64)>>,
}

impl Breakers {
    fn of(open: &[(&str, u64)]) -> Self {
        let ends = |seconds| Instant::now() + Duration::from_secs(seconds);
        let open = open.iter().map(|(target, seconds)| (Arc::from(*target), ends(*seconds))).collect();
        Self { open: Mutex::new(open), learned: Mutex::default() }
    }
}

impl Resources for Breakers {
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn granted(&self, _: &[(Arc<str>, Share)]) {}

    fn is_connected(&self, _: bool) {}

    fn ejections(&self) -> Vec<Ejection> {
        let now = Instant::now();
        let open = self.open.lock();
        let open = open.iter().filter(|(_, ends)| *ends > now);
        open.map(|(target, ends)| Ejection { target: target.clone(), remaining: *ends - now }).collect()
    }

    fn learned(&self, ejections: &[Ejection]) {
        for Ejection { target, remaining } in ejections {
            self.learned.lock().push((target.to_string(), remaining.as_secs()));
            self.open.lock().push((target.clone(), Instant::now() + *remaining));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_breaker_is_learned_once_by_every_other_server_and_not_sent_back() {
    let memory = Arc::new(Memory::default());
    let (a, b) = (Slots::in_memory(&memory), Slots::in_memory(&memory));
    let (at_a, at_b) = (Breakers::of(&[("nova@us-east-1", 30), ("claude", 60)]), Breakers::of(&[("titan", 20)]));
    let _ = timeout(Duration::from_secs(90), join(a.run(&at_a), b.run(&at_b))).await;
    let mut learned = at_b.learned.lock().clone();
    learned.sort();
    assert_eq!(learned.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), ["claude", "nova@us-east-1"]);
    assert!(learned[0].1 >= 57 && learned[1].1 >= 27, "{learned:?}");
    let learned = at_a.learned.lock().clone();
    assert_eq!(learned.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), ["titan"]);
}
