//! Callers that do not read cost no more than the buffers, and do not affect other callers.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    harness::{collect, request, soon, text_of},
    process::Remote,
};

/// Callers who open a stream and never read it.
const CALLERS: usize = 1_000;

/// What one of them may cost the server, in KiB: the windows and buffers of HTTP/2 on both sides, and a frame.
const EACH: u64 = 512;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_that_do_not_read_are_bounded_and_do_not_affect_others() {
    // A thousand calls at once may take their time on a busy machine.
    let remote = Remote::start(&["--connect-timeout", "30s"]).await;
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    remote.emulator.register("flood", Script::of([flood]));
    remote.emulator.register("ordinary", Script::reply("one two three"));
    // What a first call costs is not what the callers cost.
    others_get_their_answers(&remote).await;
    let (memory, files) = (remote.memory(), remote.files());
    let held = unread_streams(&remote).await - memory;
    println!("{CALLERS} unread streams: {held} KiB more in the server, {} each", held / CALLERS as u64);
    assert!(held < EACH * CALLERS as u64, "{held} KiB for {CALLERS} callers that do not read");
    // What they took is free again: nothing is lost.
    let again = unread_streams(&remote).await.saturating_sub(memory);
    println!("the same again: {again} KiB");
    assert!(again < held + held / 4, "{held} KiB became {again}");
    assert_eq!(remote.count("streams_abandoned_total", &[]), 2 * CALLERS as u64);
    // The connections to Bedrock stay for some time, for the next calls.
    soon(async {
        while remote.files() > files + CALLERS / 50 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    println!("files {files} -> {}", remote.files());
}

/// The memory of the server while a thousand streams are not read. Afterwards the streams are gone.
async fn unread_streams(remote: &Remote) -> u64 {
    let clients = remote.clients(CALLERS / 100).await;
    let mut opening = JoinSet::new();
    for at in 0..CALLERS {
        let client = clients[at % clients.len()].clone();
        opening.spawn(async move { client.generate(request("emulator.flood")).await.unwrap() });
    }
    let mut unread = Vec::new();
    while let Some(chunks) = soon(opening.join_next()).await {
        unread.push(chunks.unwrap());
    }
    soon(sent_until_it_stops(remote)).await;
    let memory = remote.memory();
    others_get_their_answers(remote).await;
    drop((unread, clients));
    soon(remote.quiet()).await;
    memory
}

async fn others_get_their_answers(remote: &Remote) {
    let client = remote.clients(1).await.remove(0);
    for _ in 0..20 {
        let chunks = soon(client.generate(request("emulator.ordinary"))).await.unwrap();
        assert_eq!(text_of(&soon(collect(chunks)).await.whole()), "one two three");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_opened_and_closed_at_once_leave_nothing() {
    let remote = Remote::start(&[]).await;
    remote.emulator.register("ordinary", Script::reply("one two three"));
    others_get_their_answers(&remote).await;
    let (memory, files) = (remote.memory(), remote.files());
    let clients = remote.clients(20).await;
    for _ in 0..10 {
        let mut opening = JoinSet::new();
        for at in 0..1_000 {
            let client = clients[at % clients.len()].clone();
            opening.spawn(async move {
                let limit = Duration::from_millis(fastrand::u64(..200));
                // Many have no answer by then; a server that has had enough of it may say so.
                let _ = tokio::time::timeout(limit, Box::pin(client.generate(request("emulator.endless")))).await;
            });
        }
        while soon(opening.join_next()).await.is_some() {}
    }
    drop(clients);
    soon(remote.quiet()).await;
    others_get_their_answers(&remote).await;
    let begun = remote.count("streams_abandoned_total", &[]) + remote.count("streams_failed_total", &[]);
    println!("{begun} of 10000 came as far as a stream; memory {memory} -> {} KiB", remote.memory());
    soon(async {
        while remote.files() > files + 20 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(remote.memory() < memory + (128 << 10), "{memory} KiB became {}", remote.memory());
}

/// The bytes that Bedrock has sent once it sends no more.
async fn sent_until_it_stops(remote: &Remote) {
    let mut last = 0;
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = remote.emulator.stats().bytes_sent;
        if now == last && now > 0 {
            return;
        }
        last = now;
    }
}
