//! Several servers, whose network loses, delays, repeats and reorders messages, that die at every point, and whose table is emptied.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Claim, Ejection, Resources, Share, Slots,
        memory::Memory,
        specification::Rules,
        table::{CONFIRMING, LEASE, ServerId},
    },
    history::is_linearizable,
    network::{FINE, Network, Weather},
    world::{BUDGET, Capacities, STREAMS, Seen, TOKENS, World},
};

const CAPACITIES: Capacities = Capacities { tokens: 1_000, streams: 7, budget: 50_000 };

/// How long faults happen.
const FAULTS: Duration = Duration::from_secs(50);

/// How long servers need to hold the whole capacity again: a lease, the time of a new table, and some renewals.
const RECOVERY: Duration = Duration::from_secs(LEASE.as_secs() + CONFIRMING.as_secs() + 4);

/// What goes wrong in a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) rules: Rules,
    /// Whether the table is emptied.
    pub(super) emptied: bool,
}

/// What a simulation has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) violations: Vec<String>,
    pub(super) linearizable: bool,
    /// The number of processed messages.
    pub(super) messages: usize,
}

/// What one server claims.
struct Server {
    id: ServerId,
    world: Arc<World>,
    wanted: Mutex<(u64, u64)>,
}

impl Server {
    fn seen<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        self.world.with(self.id, change)
    }

    /// Calls begin and end, and demand changes.
    async fn drive(&self, slots: &Slots, random: &mut fastrand::Rng) {
        loop {
            sleep(Duration::from_millis(random.u64(20..400))).await;
            if random.u8(..10) == 0 {
                let Capacities { tokens, streams, .. } = self.world.capacities;
                let part =
                    |random: &mut fastrand::Rng, most: u64| [0, random.u64(..=most), 2 * most][random.usize(..3)];
                *self.wanted.lock() = (part(random, tokens), part(random, streams));
                slots.notify();
            }
            self.seen(|seen| match random.u8(..6) {
                0..3 if seen.in_use < seen.streams => seen.in_use += 1,
                0..4 => seen.in_use = seen.in_use.saturating_sub(1),
                4 => seen.spent += random.u64(..=seen.limit.saturating_sub(seen.spent).min(500)),
                _ => {}
            });
        }
    }
}

impl Resources for Server {
    fn claims(&self) -> Vec<Claim> {
        let Capacities { tokens, streams, budget } = self.world.capacities;
        let (wanted, wanted_streams) = *self.wanted.lock();
        let (in_use, spent) = self.seen(|seen| (seen.in_use, seen.spent));
        let claim = |resource: &str, capacity| Claim { resource: resource.into(), capacity, ..Claim::default() };
        vec![
            Claim { wanted, ..claim(TOKENS, tokens) },
            Claim { wanted: wanted_streams.max(in_use), in_use, ..claim(STREAMS, streams) },
            Claim { wanted: budget, spent, lasts: Some(Duration::from_hours(1)), ..claim(BUDGET, budget) },
        ]
    }

    fn granted(&self, shares: &[(Arc<str>, Share)]) {
        self.world.takes(self.id, shares);
    }

    fn is_connected(&self, _: bool) {}

    fn ejections(&self) -> Vec<Ejection> {
        Vec::new()
    }

    fn learned(&self, _: &[Ejection]) {}
}

/// Runs one server after the other until the faults are over; the last one stays, and wants everything.
async fn servers(world: &Arc<World>, network: &Arc<Network>, mut random: fastrand::Rng, ends: Instant) {
    loop {
        let slots = Slots::on(network.clone());
        let server = Server { id: slots.server, world: world.clone(), wanted: Mutex::default() };
        world.starts(server.id);
        let life = Duration::from_millis(random.u64(..40_000));
        let is_last = Instant::now() + life >= ends;
        let run = async {
            tokio::select! {
            biased;
                           () = slots.run(&server) => {}
                           () = server.drive(&slots, &mut random) => {}
                           () = sleep(if is_last { ends - Instant::now() } else { life }) => {}
                       }
        };
        run.await;
        if is_last {
            network.cut(server.id, false);
            *server.wanted.lock() = (2 * CAPACITIES.tokens, 2 * CAPACITIES.streams);
            server.seen(|seen| seen.in_use = 0);
            return slots.run(&server).await;
        }
        if random.u8(..3) == 0 {
            // From now on it uses nothing.
            server.seen(|seen| (seen.tokens, seen.streams, seen.in_use, seen.limit) = (0, 0, 0, seen.spent));
            slots.leave(&server).await;
        }
        world.ends(server.id);
        sleep(Duration::from_millis(random.u64(..5_000))).await;
    }
}

/// What happens to the network and to the table.
async fn faults(world: &World, network: &Network, random: &mut fastrand::Rng, emptied: bool) {
    loop {
        let storm = Weather {
            delay: Duration::from_millis(random.u64(1..3_000)),
            lost: random.u32(..40),
            twice: random.u32(..40),
            late: Duration::from_millis(random.u64(1..20_000)),
        };
        network.set([FINE, storm, Weather { lost: 100, ..FINE }][[0, 1, 1, 1, 2][random.usize(..5)]]);
        sleep(Duration::from_millis(random.u64(..8_000))).await;
        if emptied && random.u8(..4) == 0 {
            network.recorder.emptied();
            world.empty();
        }
        let ids = world.ids();
        if let Some(id) = ids.get(random.usize(..=ids.len())) {
            network.cut(*id, random.bool());
        }
    }
}

/// Whether the servers that run hold the capacity again, at some time of the last seconds.
async fn recovery(world: &World) {
    sleep(FAULTS + RECOVERY).await;
    let mut best = (0, 0);
    for _ in 0..30 {
        let running = world.running();
        let sum = |of: fn(&Seen) -> u64| running.iter().map(of).sum::<u64>();
        best = (best.0.max(sum(|seen| seen.tokens)), best.1.max(sum(|seen| seen.streams)));
        sleep(Duration::from_millis(100)).await;
    }
    if best.0 * 10 < CAPACITIES.tokens * 9 || best.1 < CAPACITIES.streams {
        world.violated(format!("no recovery: {best:?} of {CAPACITIES:?}"));
    }
}

pub(super) async fn simulate(mut random: fastrand::Rng, Faults { rules, emptied }: Faults) -> Found {
    let memory = Arc::new(Memory::with(rules));
    let world = Arc::new(World::new(CAPACITIES, memory.clone()));
    let network = Arc::new(Network::new(memory, world.clone(), random.fork()));
    let ends = Instant::now() + FAULTS;
    let running = (0..random.u8(2..5)).map(|_| servers(&world, &network, random.fork(), ends));
    let running = join_all(running.collect::<Vec<_>>());
    let mut of_faults = random.fork();
    let watched = async {
        tokio::select! {
        biased;
                   () = faults(&world, &network, &mut of_faults, emptied) => {}
                   () = sleep(FAULTS) => network.set(FINE),
               }
        std::future::pending::<()>().await;
    };
    let ticks = async {
        loop {
            sleep(Duration::from_millis(20)).await;
            world.tick();
        }
    };
    tokio::select! {
    biased;
           _ = running => {}
           () = network.run() => {}
           () = watched => {}
           () = ticks => {}
           () = recovery(&world) => {}
       }
    let histories = [TOKENS, STREAMS, BUDGET].map(|resource| network.recorder.history(resource));
    let messages = histories.iter().map(Vec::len).sum();

    let linearizable = histories.into_iter().all(is_linearizable);
    Found { violations: world.violations(), linearizable, messages }
}

#[test]
fn shares_stay_within_the_bound_and_come_back_at_any_faults() {
    for emptied in [false, true] {
        let mut messages = 0;
        let seeds = crate::simulation::run(8, async |random| {
            let found = Box::pin(simulate(random, Faults { rules: Rules::default(), emptied })).await;
            assert_eq!(found.violations, Vec::<String>::new());
            assert!(found.linearizable);
            messages += found.messages;
        });
        assert!(messages as u64 > 300 * (seeds.end - seeds.start), "{messages}");
    }
}
