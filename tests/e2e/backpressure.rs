//! A caller who stops reading stops Bedrock from sending, and loses nothing by it.

use std::time::Duration;

use bedrock_emulator::{Script, Step};

use crate::harness::{Harness, collect, request, soon, text_of};

/// 64 MiB of text: far more than all buffers between emulator and caller hold.
const DELTAS: usize = 4_096;
const DELTA_BYTES: usize = 16_384;

/// More than fit into the window of a stream, each in a DATA frame of its own.
const SMALL_DELTAS: usize = 4_000;

/// More than the socket buffers, the HTTP/2 windows and the buffers of the server come to together.
const BOUND: u64 = 24 << 20;

/// What the caller's window of HTTP/2 holds by default: this much is sent before the caller reads.
const AHEAD: u64 = 65_535;

#[tokio::test]
async fn a_caller_who_stops_reading_stops_the_upstream_and_gets_everything_later() {
    let harness = Harness::start().await;
    let delta = Step::text(&"x".repeat(DELTA_BYTES));
    let steps = [
        Step::message_start(),
        Step::Repeat { times: DELTAS, steps: vec![delta] },
        Step::message_stop("end_turn"),
        Step::metadata(1, 1),
    ];
    let model = harness.emulator.register("large", Script::of(steps));
    let chunks = soon(harness.client.generate(request(&model))).await.unwrap();
    let stuck_at = soon(sent_until_it_stops(&harness)).await;
    assert!(stuck_at < BOUND, "{stuck_at} bytes were sent to a caller who read nothing");
    assert!(stuck_at > AHEAD, "after {stuck_at} bytes the caller's own window is not full");
    let chunks = soon(collect(chunks)).await.whole();
    assert_eq!(text_of(&chunks).len(), DELTAS * DELTA_BYTES);
    assert_eq!(harness.emulator.stats().completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_read_late_lose_no_small_chunk_and_nor_do_others_on_their_connection() {
    let harness = Harness::start().await;
    let steps = [
        Step::message_start(),
        Step::Repeat { times: SMALL_DELTAS, steps: vec![Step::text("a")] },
        Step::message_stop("end_turn"),
        Step::metadata(1, 1),
    ];
    let model = harness.emulator.register("small", Script::of(steps));
    let mut late = Vec::new();
    for _ in 0..8 {
        late.push(soon(harness.client.generate(request(&model))).await.unwrap());
    }
    soon(sent_until_it_stops(&harness)).await;
    soon(collect(soon(harness.client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
    for chunks in late {
        assert_eq!(text_of(&soon(collect(chunks)).await.whole()).len(), SMALL_DELTAS);
    }
}

/// The bytes that the emulator has sent once it sends no more.
async fn sent_until_it_stops(harness: &Harness) -> u64 {
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = harness.emulator.stats().bytes_sent;
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}
