//! Three times as many callers as there are places: those who are in notice nothing, the others are told at once.

use std::time::{Duration, Instant};

use bedrock_emulator::Script;
use outcrop_client::{Client, ClientError, proto::chunk::Event};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    harness::{duration_of, request, soon},
    process::Remote,
};

/// The places.
const PLACES: usize = 50;

/// How far apart the chunks of the model are, in milliseconds.
const PACE: u64 = 20;

/// The words of an answer.
const WORDS: usize = 40;

/// What the callers saw.
#[derive(Default)]
struct Seen {
    finished: usize,
    /// Between one chunk and the next, of those who were in.
    gaps: Vec<Duration>,
    /// Until they were told, of those who were not.
    refusals: Vec<Duration>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.finished += other.finished;
        self.gaps.extend(other.gaps);
        self.refusals.extend(other.refusals);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_in_get_everything_and_the_others_are_told() {
    // OUTCROP_TEST_OVERLOAD=60s: a minute of it.
    let time = duration_of("OUTCROP_TEST_OVERLOAD", Duration::from_secs(3));
    let remote = Remote::start(&["--max-streams", &PLACES.to_string()]).await;
    let model = remote.emulator.register("paced", Script::reply(vec!["a"; WORDS].join(" ")).pace(PACE, PACE));
    let alone = callers(&remote, &model, PLACES, time / 4).await;
    let memory = remote.memory();
    let mut crowd = callers(&remote, &model, 3 * PLACES, time).await;
    let grown = remote.memory().saturating_sub(memory);
    soon(remote.quiet()).await;
    let (before, under) = (percentiles(alone.gaps), percentiles(crowd.gaps));
    crowd.refusals.sort();
    println!(
        "{time:?} at three times the limit: {} finished, {} refused\ngaps between chunks p50/p99: {:.1?}/{:.1?} alone, {:.1?}/{:.1?} in the crowd (ratio of p50 {:.2}, of p99 {:.2})\nrefused after p50/p99: {:.1?}\nmemory: {grown} KiB more",
        crowd.finished,
        crowd.refusals.len(),
        before[0],
        before[1],
        under[0],
        under[1],
        under[0].as_secs_f64() / before[0].as_secs_f64(),
        under[1].as_secs_f64() / before[1].as_secs_f64(),
        percentiles(crowd.refusals.clone()),
    );
    assert!(crowd.finished > 0 && crowd.refusals.len() > crowd.finished, "an overload");
    assert!(grown < 64 << 10, "{grown} KiB more after {time:?} of overload");
    assert_eq!(remote.count("calls_refused_total", &["LOCAL_LIMIT"]), crowd.refusals.len() as u64);
}

/// So many callers who ask again and again for a while. None waits for a place that it was refused.
async fn callers(remote: &Remote, model: &str, number: usize, time: Duration) -> Seen {
    let clients = remote.clients(number.div_ceil(PLACES)).await;
    let until = Instant::now() + time;
    let mut running = JoinSet::new();
    for at in 0..number {
        running.spawn(caller(clients[at % clients.len()].clone(), model.to_owned(), until));
    }
    let mut seen = Seen::default();
    while let Some(one) = running.join_next().await {
        seen.add(one.unwrap());
    }
    seen
}

async fn caller(client: Client, model: String, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let asked = Instant::now();
        match soon(Box::pin(client.generate(request(&model)))).await {
            Ok(mut chunks) => {
                let mut last = None;
                let mut words = 0;
                while let Some(chunk) = soon(chunks.next()).await.unwrap() {
                    let now = Instant::now();
                    words += usize::from(matches!(chunk.event, Some(Event::Text(_))));
                    seen.gaps.extend(last.replace(now).map(|last| now - last));
                }
                assert_eq!(words, WORDS, "who is in loses nothing to who is not");
                seen.finished += 1;
            }
            Err(ClientError::Call(error)) => {
                assert_eq!(error.reason, "LOCAL_LIMIT");
                seen.refusals.push(asked.elapsed());
                sleep(Duration::from_millis(fastrand::u64(20..60))).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    seen
}

/// The median and the 99th percentile.
fn percentiles(mut all: Vec<Duration>) -> [Duration; 2] {
    all.sort();
    [all.len() / 2, all.len() * 99 / 100].map(|at| all[at])
}
