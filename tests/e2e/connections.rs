//! Over TLS and HTTP/2, as Bedrock is really reached: no stream waits for another one's place on a connection.

use bedrock_emulator::{Script, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    harness::{collect, request, soon, text_of},
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
    let stats = emulator.stats();
    println!(
        "{} streams open on {} connections, of {} made",
        stats.running(),
        stats.open_connections,
        stats.connections
    );
    assert!(stats.connections <= 8, "{} connections for a burst of {STREAMS} streams", stats.connections);
    assert_eq!(stats.running(), STREAMS as u64);
    drop(open);
    soon(emulator.wait_until(|stats| stats.running() == 0)).await;
    // The connections are used again.
    let model = emulator.register("short", Script::reply("again"));
    soon(collect(soon(client.generate(request(&model))).await.unwrap())).await.whole();
    assert_eq!(emulator.stats().connections, stats.connections, "no handshake for a request");
}

#[tokio::test]
async fn a_proxy_that_the_environment_names_is_gone_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:secret@{}", listener.local_addr().unwrap());
    let mut tunnels = JoinSet::new();
    tunnels.spawn(async move {
        let (mut caller, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(caller.read_u8().await.unwrap());
        }
        let asked = String::from_utf8(asked).unwrap();
        let target = asked.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
        assert!(asked.to_lowercase().contains("proxy-authorization: basic"), "{asked}");
        let mut upstream = TcpStream::connect(target.replace("localhost", "127.0.0.1")).await.unwrap();
        caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        copy_bidirectional(&mut caller, &mut upstream).await.unwrap();
    });
    let remote = Remote::start_with(&[], &[("HTTPS_PROXY", &proxy)]).await;
    let model = remote.emulator.register("short", Script::reply("through the proxy"));
    let client = remote.clients(1).await.remove(0);
    let chunks = soon(collect(soon(client.generate(request(&model))).await.unwrap())).await.whole();
    assert_eq!(text_of(&chunks), "through the proxy");
    drop(remote);
    soon(tunnels.join_next()).await.unwrap().unwrap();
}
