//! A simulation of an issuer whose keys rotate and that is down or hangs at any time, with callers that leave: one fetch at a time and few of
//! them, no wait that is long, and no keys that are too old.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, json};
use tokio::time::sleep;

use super::*;
use crate::{
    identity::jwt::settings::Algorithm,
    simulation::{run, until_left},
};

/// The steps of one seed.
const STEPS: usize = 150;

/// The longest time of a fetch.
const FETCH: Duration = Duration::from_secs(5);

/// How the issuer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Up,
    Down,
    Hangs,
}

/// The issuer, as it is now.
#[derive(Debug)]
struct World {
    random: fastrand::Rng,
    health: Health,
    /// The ids of the keys that it publishes, from the oldest to the newest.
    published: (u32, u32),
    /// When each fetch began.
    fetches: Vec<Instant>,
    /// The number of fetches that began while another one ran.
    overlaps: usize,
}

/// What fetches see of it.
#[derive(Clone, Debug)]
struct Simulated {
    world: Arc<Mutex<World>>,
    running: Arc<AtomicUsize>,
}

/// A fetch that runs.
struct Fetching(Arc<AtomicUsize>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for Simulated {
    async fn fetch(&self, _: &IssuerSettings) -> Result<Fetched, String> {
        let others = self.running.fetch_add(1, Ordering::SeqCst);
        let _fetching = Fetching(Arc::clone(&self.running));
        let (before, after) = {
            let mut world = self.world.lock();
            world.fetches.push(Instant::now());
            // A panic here would end the task alone.
            world.overlaps += others;
            let half = |world: &mut World| FETCH.mul_f64(world.random.f64() / 2.0);
            (half(&mut world), half(&mut world))
        };
        sleep(before).await;
        let (health, (oldest, newest)) = {
            let world = self.world.lock();
            (world.health, world.published)
        };
        sleep(if health == Health::Hangs { FETCH.saturating_sub(before) } else { after }).await;
        if health != Health::Up {
            return Err(format!("{health:?}"));
        }
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = |kid: u32| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid.to_string()});
        let set = json!({"keys": (oldest..=newest).map(key).collect::<Vec<_>>()});
        let max_age = [None, Some(0), Some(60), Some(300), Some(100_000)][self.world.lock().random.usize(..5)];
        Ok(Fetched { keys: KeySet::parse(set.to_string().as_bytes())?, max_age: max_age.map(Duration::from_secs) })
    }
}

fn token(kid: u32) -> Token<'static> {
    let (signed, signature, claims) = ("", "", Map::new());
    Token { signed, signature, algorithm: Algorithm::EdDsa, kid: Some(kid.to_string()), claims }
}

/// A call with a token of this key. What holds for every one of them is asserted.
async fn call(issuer: &Issuer<Simulated>, kid: u32) -> Result<(), Rejection> {
    let (begun, token) = (Instant::now(), token(kid));
    let keys = issuer.keys_for(&token).await;
    let waited = begun.elapsed();
    assert!(waited <= FETCH + Duration::from_millis(10), "a caller waits for one fetch, not for {waited:?}");
    let keys = keys?;
    assert!(keys.knows(&token), "{kid} is not in {keys:?}");
    let state = issuer.shared.state.lock();
    let loaded = state.keys.as_ref().unwrap();
    assert!(Arc::ptr_eq(&loaded.keys, &keys), "the newest keys are used");
    let limit = if state.failure.is_some() { MAX_AGE } else { MAX_FRESH + OVERDUE };
    assert!(loaded.at.elapsed() < limit, "keys that are {:?} old are used", loaded.at.elapsed());
    Ok(())
}

async fn simulate(mut random: fastrand::Rng) {
    let world =
        World { random: random.fork(), health: Health::Up, published: (1, 1), fetches: Vec::new(), overlaps: 0 };
    let source = Simulated { world: Arc::new(Mutex::new(world)), running: Arc::default() };
    let settings = IssuerSettings {
        issuer: "https://id.example.com".to_owned(),
        audiences: Vec::new(),
        algorithms: Vec::new(),
        jwks_uri: None,
        ca: None,
    };
    let issuer = Arc::new(Issuer::new(settings, source.clone()));
    let mut callers = JoinSet::new();
    for _ in 0..STEPS {
        match random.u8(..10) {
            0 => source.world.lock().published.1 += 1,
            1 => {
                let mut world = source.world.lock();
                world.published.0 = world.published.1.min(world.published.0 + 1);
            }
            2 => source.world.lock().health = [Health::Up, Health::Up, Health::Down, Health::Hangs][random.usize(..4)],
            3..7 => {
                let newest = source.world.lock().published.1;
                for _ in 0..random.u8(1..20) {
                    // Also keys that are gone, and keys that no issuer has.
                    let kid = if random.u8(..4) == 0 { random.u32(1_000..) } else { random.u32(1..=newest) };
                    let (issuer, mut random) = (Arc::clone(&issuer), random.fork());
                    callers.spawn(async move { until_left(&mut random, true, FETCH, call(&issuer, kid)).await });
                }
            }
            7..9 => sleep(Duration::from_millis(random.u64(..20_000))).await,
            _ => sleep(Duration::from_secs(random.u64(..30 * 3_600))).await,
        }
        while callers.try_join_next().transpose().unwrap().is_some() {}
    }
    source.world.lock().health = Health::Up;
    sleep(FETCH + AFTER_FAILURE + BETWEEN_SEARCHES).await;
    let published = source.world.lock().published;
    assert_eq!(call(&issuer, published.1).await, Ok(()), "an issuer that is up again is used");
    assert_eq!(call(&issuer, published.0).await, Ok(()));
    assert_eq!(call(&issuer, 0).await, Err(Rejection::UnknownKey), "and its failures are over");
    callers.join_all().await;
    let world = source.world.lock();
    assert_eq!(world.overlaps, 0, "one fetch at a time");
    for three in world.fetches.windows(3) {
        assert!(three[2].duration_since(three[0]) >= BETWEEN_SEARCHES, "three fetches within {BETWEEN_SEARCHES:?}");
    }
}

#[test]
fn keys_are_fetched_once_for_all_callers_and_are_never_too_old() {
    run(100, async |random| simulate(random).await);
}
