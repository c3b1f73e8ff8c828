//! What simulations share: seeds that are printed when they fail, a runtime with paused time for each, and callers who leave.
//!
//! `OUTCROP_TEST_SEEDS=10000` is the long form; `OUTCROP_TEST_SEED=7` runs one seed.

#![expect(clippy::print_stderr, reason = "the seed of a failure")]

use std::{future::poll_fn, ops::Range, pin::pin, task::Poll, time::Duration};

use tokio::time::sleep;

/// Says which seed has failed.
struct Running(u64);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("OUTCROP_TEST_SEED={} fails", self.0);
        }
    }
}

/// Runs a simulation with this many seeds, unless the environment says which. Returns the seeds.
pub(crate) fn run(seeds: u64, mut simulate: impl AsyncFnMut(fastrand::Rng)) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let seeds = number("OUTCROP_TEST_SEED")
        .map_or_else(|| 0..number("OUTCROP_TEST_SEEDS").unwrap_or(seeds), |seed| seed..seed + 1);
    for seed in seeds.clone() {
        let running = Running(seed);
        // The jitter of backoffs comes from the generator of the thread.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(simulate(fastrand::Rng::with_seed(seed)));
        drop(running);
    }
    seeds
}

/// A caller who leaves after a random number of polls or a random time, at whichever await that is. `None`: the caller has left.
pub(crate) async fn until_left<T>(
    random: &mut fastrand::Rng,
    leaves: bool,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut polls = if leaves && random.u8(..4) == 0 { random.u32(1..12) } else { u32::MAX };
    let limit = if leaves && random.u8(..4) == 0 { limit.mul_f64(random.f64()) } else { 30 * limit };
    let (mut future, mut leaving) = (pin!(future), pin!(sleep(limit)));
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        polls = polls.saturating_sub(1);
        if polls == 0 {
            return Poll::Ready(None);
        }
        leaving.as_mut().poll(cx).map(|()| None)
    })
    .await
}
