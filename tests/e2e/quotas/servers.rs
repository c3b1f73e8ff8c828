//! Three servers on one Redis: together they spend no more than the quota, whatever ends.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bedrock_emulator::{Config, Emulator};
use outcrop_client::Client;
use tokio::task::JoinSet;

use super::*;
use crate::{
    harness::collect,
    process::{Serving, outcrop},
    redis::server::Redis,
    stores::Folder,
};

/// Tokens a minute. The emulator's bucket refills at this rate and holds the tokens of 10 s.
const QUOTA: u64 = 600_000;
const SCALE: u64 = 6;
const MODEL: &str = "emulator.shared";

/// What a call reserves at most, and what it uses.
const MAX_TOKENS: i32 = 2_000;
const INPUT: u32 = 500;
const OUTPUT: u32 = 1_000;
const CALLERS: u64 = 60;

/// The lease of a share.
const LEASE: Duration = Duration::from_secs(10);

fn server(emulator: &Emulator, redis: &Redis, config: &str) -> Serving {
    let address = redis.address();
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--log", "off", "--conversations", &address, "--config", config];
    let mut command = outcrop(&arguments);
    command.envs([
        ("AWS_REGION", HERE),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
    ]);
    Serving::listening(&mut command)
}

/// Asks for one and a half times the quota at this server, until it is over or the server is gone.
async fn callers(endpoint: String, over: Arc<AtomicBool>, asked: Arc<AtomicU64>) {
    let pause = Duration::from_secs_f64(60.0 * CALLERS as f64 * f64::from(INPUT + OUTPUT) / (1.5 * QUOTA as f64));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let (endpoint, over, asked) = (endpoint.clone(), Arc::clone(&over), Arc::clone(&asked));
        callers.spawn(async move {
            let (mut random, client) = (fastrand::Rng::with_seed(number), Client::connect(&endpoint).await.unwrap());
            sleep(pause.mul_f64(random.f64())).await;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                asked.fetch_add(u64::from(INPUT + OUTPUT), Ordering::Relaxed);
                let prompt = "a".repeat(4 * INPUT as usize);
                if let Ok(chunks) = client.generate(GenerateRequest { prompt, ..asks(MODEL, MAX_TOKENS) }).await {
                    let _ = collect(chunks).await;
                }
                sleep(pause.mul_f64(0.5 + random.f64()).saturating_sub(began.elapsed())).await;
            }
        });
    }
    while callers.join_next().await.is_some() {}
}

/// The part of the quota of this time that is charged in it. On a machine that is too busy the callers cannot ask for more than the quota; then
/// it is the part of what they have asked for, if that is more.
async fn used_in(emulator: &Emulator, asked: &AtomicU64, time: Duration) -> f64 {
    let charged = || emulator.quota_usage(MODEL, None).unwrap().tokens_charged;
    let (before, asked_before, began) = (charged(), asked.load(Ordering::Relaxed), Instant::now());
    sleep(time).await;
    let asked = asked.load(Ordering::Relaxed) - asked_before;
    let quota = QUOTA as f64 * began.elapsed().as_secs_f64() / 60.0;
    (charged() - before) as f64 / quota.min(asked as f64 / 1.2).max(1.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_never_exceed_the_quota_and_use_it_when_one_is_killed_and_when_redis_is() {
    let Some(mut redis) = Redis::start("redis-quota") else { return };
    let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
    emulator.register("shared", uses(INPUT, OUTPUT, Duration::from_millis(300)));
    let quota = Quota { tokens: Some(QUOTA / SCALE), minute_ms: 60_000 / SCALE, ..Quota::default() };
    emulator.set_quota(MODEL, None, quota).unwrap();
    let folder = Folder::new("quota-servers");
    let config = folder.file("outcrop.toml");
    // The burst of all servers is a quarter of what the emulator's bucket holds.
    let text = format!(
        "max_streams_per_caller = 10000\nattempts = 1\n[[quota]]\nmodel = \"{MODEL}\"\ntokens_per_minute = {QUOTA}\nburst_percent = 4\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut servers: Vec<_> = (0..3).map(|_| server(&emulator, &redis, &config)).collect();
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for server in &servers {
        load.spawn(callers(server.endpoint.clone(), Arc::clone(&over), Arc::clone(&asked)));
    }
    // The first 5 s a new table lets no share grow.
    sleep(Duration::from_secs(8)).await;
    let three = used_in(&emulator, &asked, Duration::from_secs(8)).await;
    // Killed: its share comes back after its lease.
    drop(servers.pop());
    sleep(LEASE + Duration::from_secs(2)).await;
    let two = used_in(&emulator, &asked, Duration::from_secs(8)).await;
    redis.stop();
    let without = used_in(&emulator, &asked, Duration::from_secs(8)).await;
    redis.restart();
    redis.say("FLUSHALL");
    sleep(LEASE).await;
    let again = used_in(&emulator, &asked, Duration::from_secs(8)).await;
    over.store(true, Ordering::Relaxed);
    load.shutdown().await;
    let usage = emulator.quota_usage(MODEL, None).unwrap();
    let figures = format!(
        "used: {three:.2} by three servers, {two:.2} by two after a lease, {without:.2} without Redis, {again:.2} a lease after it was emptied; {} of {} calls throttled",
        usage.throttled,
        usage.requests + usage.throttled
    );
    println!("{figures}");
    assert!([three, two, again].iter().all(|used| *used >= 0.9), "{figures}");
    assert!(without >= 0.8, "{figures}");
    assert!(usage.throttled * 100 <= usage.requests, "{figures}");
}
