//! Over TLS and HTTP/2, as Bedrock is really reached: no stream waits for another one's place on a connection.

use std::{io::Write, net::SocketAddr};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop_client::Client;
use tokio::task::JoinSet;

use crate::{
    binary::Serving,
    harness::{collect, request, soon},
};

/// Five times what one connection takes.
const STREAMS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_streams_all_get_content_while_all_are_open() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { listen, tls: true, max_concurrent_streams: Some(100), ..Config::default() };
    let emulator = Emulator::start(config).await.unwrap();
    let folder = std::env::temp_dir().join(format!("outcrop-connections-{}", std::process::id()));
    std::fs::File::create(&folder).unwrap().write_all(emulator.certificate().unwrap().as_bytes()).unwrap();
    let serving = Serving::start_with(&[
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
        ("SSL_CERT_FILE", &folder.to_string_lossy()),
    ]);
    // A first word, and the end only when the test says so: the pause is longer than the test may take.
    let steps = [Step::message_start(), Step::text("first"), Step::WaitMs(60_000)];
    let model = emulator.register("open", Script::of(steps));
    let client = Client::connect(&serving.endpoint).await.unwrap();
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
    let _ = std::fs::remove_file(folder);
}
