//! Over TLS and HTTP/2, as Bedrock is really reached: no stream waits for another one's place on a connection.

use bedrock_emulator::{Script, Step};
use tokio::task::JoinSet;

use crate::{
    harness::{collect, request, soon},
    process::Remote,
};

/// Five times what one connection takes.
const STREAMS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_streams_all_get_content_while_all_are_open() {
    let remote = Remote::start(&[]).await;
    let (emulator, client) = (&remote.emulator, remote.clients(1).await.remove(0));
    // A first word, and the end only when the test says so: the pause is longer than the test may take.
    let steps = [Step::message_start(), Step::text("first"), Step::WaitMs(60_000)];
    let model = emulator.register("open", Script::of(steps));
    let mut opening = JoinSet::new();
    for _ in 0..STREAMS {
        let (client, model) = (client.clone(), model.clone());
        opening.spawn(async move {
            let mut chunks = client.generate(request(&model)).await.unwrap();
            chunks.next().await.unwrap();
            chunks
        });
    }
    let mut open = Vec::new();
    while let Some(chunks) = soon(opening.join_next()).await {
        open.push(chunks.unwrap());
    }
    // Before the first handshake is over nobody knows that it will be HTTP/2, so some connections are begun in vain and closed.
    let stats = soon(emulator.wait_until(|stats| stats.open_connections <= 8)).await;
    println!("{} streams open on {} connections", stats.running(), stats.open_connections);
    assert_eq!(stats.running(), STREAMS as u64);
    drop(open);
    soon(emulator.wait_until(|stats| stats.running() == 0)).await;
    // The connections are used again.
    let model = emulator.register("short", Script::reply("again"));
    soon(collect(soon(client.generate(request(&model))).await.unwrap())).await.whole();
    assert_eq!(emulator.stats().connections, stats.connections, "no handshake for a request");
}
