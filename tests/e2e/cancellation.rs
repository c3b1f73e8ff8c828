//! A caller who leaves ends the request to Bedrock at once.

use crate::harness::{Harness, request, soon};

#[tokio::test]
async fn a_caller_who_drops_the_stream_makes_bedrock_see_it() {
    let harness = Harness::start().await;
    let mut chunks = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    soon(chunks.next()).await.unwrap();
    assert_eq!(harness.emulator.stats().running(), 1);
    drop(chunks);
    let stats = soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    assert_eq!(stats.running(), 0);
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_first_content_makes_bedrock_see_it() {
    let harness = Harness::start().await;
    let silent = bedrock_emulator::Script::reply("late").pace(60_000, 0);
    let model = harness.emulator.register("silent", silent);
    let call = harness.client.generate(request(&model));
    tokio::select! {
        _ = call => panic!("nothing has come yet"),
        _ = soon(harness.emulator.wait_until(|stats| stats.opened == 1)) => {}
    }
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn a_hundred_callers_who_leave_leave_nothing_behind() {
    let harness = Harness::start().await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut chunks = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
        soon(chunks.next()).await.unwrap();
        all.push(chunks);
    }
    assert_eq!(harness.emulator.stats().running(), 100);
    drop(all);
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 100)).await;
}
