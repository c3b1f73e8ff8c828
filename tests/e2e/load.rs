//! Many streams at once: all end as they should, and nothing is left behind.

use std::time::Duration;

use bedrock_emulator::{At, FaultKind, Script};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    harness::{collect, request, soon},
    process::Remote,
};

/// Streams that are open at the same time.
const AT_ONCE: usize = 250;

/// How many streams there are in all; `OUTCROP_TEST_STREAMS` says another number.
fn streams() -> usize {
    std::env::var("OUTCROP_TEST_STREAMS").map_or(1_000, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_streams_each_ends_as_it_should_and_nothing_is_left() {
    let remote = Remote::start(&[]).await;
    let whole = remote.emulator.register("whole", Script::reply("one two three").pace(0, 5));
    let before = remote.files();
    let total = streams();
    let (mut finished, mut failed, mut left) = (0, 0, 0_u64);
    for round in 0..total / AT_ONCE {
        let mut running = JoinSet::new();
        // A connection for every 50 streams, as many callers would have.
        let clients = remote.clients(AT_ONCE / 50).await;
        for at in 0..AT_ONCE {
            let client = clients[at % clients.len()].clone();
            let model = [whole.as_str(), "emulator.exception", "emulator.endless"][(round + at) % 3].to_owned();
            running.spawn(async move {
                let mut chunks = client.generate(request(&model)).await.unwrap();
                if model == "emulator.endless" {
                    chunks.next().await.unwrap();
                    return None;
                }
                Some(collect(chunks).await.result.is_ok())
            });
        }
        while let Some(outcome) = soon(running.join_next()).await {
            match outcome.unwrap() {
                Some(true) => finished += 1,
                Some(false) => failed += 1,
                None => left += 1,
            }
        }
    }
    assert_eq!(finished + failed + usize::try_from(left).unwrap(), total / AT_ONCE * AT_ONCE);
    let stats = soon(remote.emulator.wait_until(|stats| stats.running() == 0)).await;
    assert_eq!(stats.abandoned, left, "{stats:?}");
    soon(remote.quiet()).await;
    // What stays open are connections kept for reuse: far fewer than there were streams.
    let after = remote.files();
    println!("{finished} finished, {failed} failed, {left} left; open files {before} -> {after}");
    assert!(after < before + AT_ONCE / 4, "{before} open files became {after}");
}

/// How long memory and connections may take to be given back: a minute, and half of one for a busy machine.
const GIVEN_BACK: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_after_a_burst_its_memory_and_its_connections_are_given_back() {
    let remote = Remote::start(&["--connect-timeout", "30s"]).await;
    let silent = remote.emulator.register("silent", Script::reply("one two").fault(FaultKind::Stall, At::Event(2)));
    let open = async |number: usize| {
        let mut opening = JoinSet::new();
        for client in remote.clients(20).await {
            let silent = silent.clone();
            opening.spawn(async move {
                let mut streams = Vec::new();
                for _ in 0..number / 20 {
                    let mut chunks = client.generate(request(&silent)).await.unwrap();
                    chunks.next().await.unwrap();
                    streams.push(chunks);
                }
                streams
            });
        }
        opening.join_all().await
    };
    // What the first streams take is not that of a burst.
    drop(open(100).await);
    soon(remote.quiet()).await;
    let (memory, files) = (remote.memory(), remote.files());
    let streams = open(2_000).await;
    let (taken, upstream) = (remote.memory() - memory, remote.files() - files);
    assert!(upstream >= 40, "{upstream} connections more, of callers and to Bedrock, have 2,000 streams");
    drop(streams);
    soon(remote.quiet()).await;
    let given_back = async {
        while remote.files() > files || remote.memory().saturating_sub(memory) > taken * 2 / 3 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let is_given_back = timeout(GIVEN_BACK, given_back).await.is_ok();
    let (kept, left) = (remote.memory().saturating_sub(memory), remote.files());
    println!("{taken} KiB were taken and {kept} kept; open files {files} -> {} -> {left}", files + upstream);
    assert!(is_given_back, "{kept} KiB of {taken} are kept; {files} open files became {left}");
}
