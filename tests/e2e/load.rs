//! Many streams at once: all end as they should, and nothing is left behind.

use bedrock_emulator::Script;
use tokio::task::JoinSet;

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
