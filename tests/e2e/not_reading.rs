//! Callers who do not read cost no more than what lies in the buffers between, and nobody else notices.

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
async fn a_thousand_callers_who_do_not_read_are_bounded_and_bother_nobody() {
    let remote = Remote::start(&[]).await;
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    remote.emulator.register("flood", Script::of([flood]));
    remote.emulator.register("ordinary", Script::reply("one two three"));
    // What a first call costs is not what the callers cost.
    others_get_their_answers(&remote).await;
    let (memory, files) = (remote.memory(), remote.files());
    let held = unread_streams(&remote).await - memory;
    println!("{CALLERS} unread streams: {held} KiB more in the server, {} each", held / CALLERS as u64);
    assert!(held < EACH * CALLERS as u64, "{held} KiB for {CALLERS} callers who do not read");
    let left = remote.memory();
    // What the allocator has kept is used again: nothing is lost.
    let again = unread_streams(&remote).await;
    println!("the same again: {} KiB more than before", again.saturating_sub(left));
    assert!(again < left + held / 4, "{left} KiB became {again}");
    assert_eq!(remote.count("streams_abandoned_total", &[]), 2 * CALLERS as u64);
    // The connections to Bedrock stay for the next calls.
    soon(async {
        while remote.files() > files + CALLERS / 50 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    println!("files {files} -> {}", remote.files());
}

/// The server's memory while nobody reads a thousand streams; afterwards they are gone.
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
