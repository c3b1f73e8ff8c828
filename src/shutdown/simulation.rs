//! A simulation of callers around the steps of a shutdown: who is served, who is refused, and what the server waits for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    steps::{Served, ShutdownSettings, run},
    *,
};
use crate::simulation::{self, until_left};

const CALLS: usize = 40;

/// The shared state.
#[derive(Clone, Default)]
struct Server {
    shutdown: Shutdown,
    not_ready: Arc<AtomicBool>,
    streams_end: CancellationToken,
    refusing: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl Served for Server {
    async fn not_ready(&self) {
        self.not_ready.store(true, Ordering::SeqCst);
    }

    fn stop_accepting(&self) {
        assert!(self.not_ready.load(Ordering::SeqCst), "health says so first");
    }

    async fn closed(&self) {
        // Connections of callers who stay until they are told.
        std::future::pending::<()>().await;
    }

    fn end_streams(&self) {
        assert!(
            self.refusing.load(Ordering::SeqCst) || self.shutdown.enter().is_err(),
            "calls are refused before that"
        );
        self.streams_end.cancel();
    }
}

/// A call that is being served.
struct Serving(Arc<AtomicUsize>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One call: a stream, or one that answers at once. What became of it.
async fn call(server: Server, mut random: fastrand::Rng) -> &'static str {
    sleep(Duration::from_millis(random.u64(..10_000))).await;
    let in_flight = match server.shutdown.enter() {
        Ok(in_flight) => in_flight,
        Err(error) => {
            assert_eq!(error.reason(), Reason::Draining);
            assert!(server.not_ready.load(Ordering::SeqCst), "health says so first");
            server.refusing.store(true, Ordering::SeqCst);
            return "refused";
        }
    };
    assert!(!server.refusing.load(Ordering::SeqCst), "admitted after another call was refused");
    server.served.fetch_add(1, Ordering::SeqCst);
    let serving = Serving(Arc::clone(&server.served));
    let work = sleep(Duration::from_millis(random.u64(..8_000)));
    if random.bool() {
        let answer = in_flight.unless_revoked(async {
            work.await;
            Ok(())
        });
        return match until_left(&mut random, true, Duration::from_secs(8), answer).await {
            None => "left",
            Some(Ok(())) => "served",
            Some(Err(error)) => {
                assert!(in_flight.is_revoked() && error.reason() == Reason::Draining);
                "ended"
            }
        };
    }
    let outcome = tokio::select! {
        biased;
        () = server.streams_end.cancelled() => "ended",
        () = work => "served",
    };
    if outcome == "served" && random.u8(..4) == 0 {
        // An abandoned answer is read on in the background.
        let rest = sleep(Duration::from_millis(random.u64(..4_000)));
        let revoked = in_flight.revoked();
        in_flight.spawn(&Handle::current(), async move {
            tokio::select! {
                () = rest => {}
                () = revoked => {}
            }
            drop(serving);
        });
    }
    outcome
}

async fn simulate(mut random: fastrand::Rng, tally: &mut BTreeMap<&'static str, u64>) {
    let server = Server::default();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(call(server.clone(), random.fork()));
    }
    sleep(Duration::from_millis(random.u64(..8_000))).await;
    let settings = ShutdownSettings {
        lame_duck: Duration::from_millis(random.u64(..3) * 500),
        crossing: Duration::from_millis(random.u64(..3) * 500),
        grace: Duration::from_millis(random.u64(..3) * 3_000),
    };
    let (began, force) = (Instant::now(), Duration::from_millis(random.u64(..20_000)));
    let ended = run(&server.shutdown, &server, settings, sleep(force)).await;
    let waited = began.elapsed();
    let most = (settings.lame_duck + settings.grace).min(force.max(Duration::from_millis(1)) + settings.grace);
    assert!(waited <= most + Duration::from_secs(6), "{waited:?} of {settings:?}");
    let left = server.served.load(Ordering::SeqCst);
    match ended {
        Ended::Drained => {
            assert_eq!((left, server.shutdown.running()), (0, 0), "every call came to its end");
            *tally.entry("drained").or_default() += 1;
        }
        Ended::Forced(ended) => {
            assert!(ended > 0 && waited >= settings.grace.min(force));
            assert_eq!(left, 0, "who was ended has given back what it held");
            *tally.entry("forced").or_default() += 1;
        }
    }
    assert_eq!(server.shutdown.enter().unwrap_err().reason(), Reason::Draining);
    while let Some(outcome) = calls.join_next().await {
        *tally.entry(outcome.unwrap()).or_default() += 1;
    }
    assert_eq!(server.shutdown.running(), 0);
}

#[test]
fn no_call_is_admitted_after_a_refusal_and_none_is_cut_before_its_time() {
    let mut tally = BTreeMap::new();
    let seeds = simulation::run(100, async |random| simulate(random, &mut tally).await);
    if seeds.end - seeds.start >= 100 {
        for outcome in ["refused", "served", "left", "ended", "drained", "forced"] {
            assert!(tally.contains_key(outcome), "{outcome} was never reached: {tally:?}");
        }
    }
}
