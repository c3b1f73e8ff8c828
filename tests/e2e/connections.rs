//! Over TLS and HTTP/2, as Bedrock is really reached: no stream waits for another one's place on a connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use bedrock_emulator::Script;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    harness::{collect, open_streams, request, soon, text_of},
    process::Remote,
};

/// Five times what one connection takes.
const STREAMS: usize = 500;

/// The streams of a connection to Bedrock.
const STREAMS_OF_CONNECTION: usize = 90;

/// Each core of the server has connections of its own.
fn cores() -> usize {
    available_parallelism().unwrap().get()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_streams_all_get_content_while_all_are_open() {
    let remote = Remote::start(&[]).await;
    let (emulator, client) = (&remote.emulator, remote.clients(1).await.remove(0));
    let streams = open_streams(emulator, &client, STREAMS).await;
    let stats = emulator.stats();
    println!(
        "{} streams open on {} connections, of {} made",
        stats.running(),
        stats.open_connections,
        stats.connections
    );
    let most = (STREAMS.div_ceil(STREAMS_OF_CONNECTION) + cores()) as u64;
    assert!(stats.connections <= most, "{} connections for a burst of {STREAMS} streams", stats.connections);
    assert_eq!(stats.running(), STREAMS as u64);
    drop(streams);
    soon(emulator.wait_until(|stats| stats.running() == 0)).await;
    // The connections are used again.
    let model = emulator.register("short", Script::reply("again"));
    soon(collect(soon(client.generate(request(&model))).await.unwrap())).await.whole();
    assert_eq!(emulator.stats().connections, stats.connections, "no handshake for a request");
}

/// Each core has connections to Bedrock of its own, so their number tells on how many cores the callers are served.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_callers_are_spread_over_the_cores() {
    let remote = Remote::start(&[]).await;
    let mut open = Vec::new();
    for client in remote.clients(cores()).await {
        open.push(open_streams(&remote.emulator, &client, 1).await);
    }
    assert_eq!(remote.emulator.stats().connections, cores() as u64);
}

/// Passes connections on to a server that is named later. It can end them all, as a server ends idle connections.
struct Passage {
    endpoint: String,
    server: watch::Sender<Option<SocketAddr>>,
    accepted: Arc<AtomicUsize>,
    end: watch::Sender<usize>,
    _accepting: JoinSet<()>,
}

impl Passage {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (server, target) = watch::channel(None);
        let (end, ended) = watch::channel(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        let count = Arc::clone(&accepted);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (target, mut ended) = (*target.borrow(), ended.clone());
                ended.mark_unchanged();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(target.unwrap()).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut caller, &mut server) => {}
                        _ = ended.changed() => {}
                    }
                });
            }
        });
        Self { endpoint, server, accepted, end, _accepting: accepting }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_after_idleness_makes_one_connection_on_a_core() {
    let passage = Passage::start().await;
    let remote = Remote::start_with(&[], &[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &passage.endpoint)]).await;
    passage.server.send_replace(Some(remote.emulator.address()));
    let client = remote.clients(1).await.remove(0);
    let model = remote.emulator.register("short", Script::reply("warm"));
    soon(collect(soon(client.generate(request(&model))).await.unwrap())).await.whole();
    assert_eq!(passage.accepted.load(Ordering::SeqCst), 1);
    // The idle connection ends, and the server has noticed when its descriptor is gone.
    let open = remote.files();
    passage.end.send_modify(|ends| *ends += 1);
    soon(async {
        while remote.files() >= open {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let streams = open_streams(&remote.emulator, &client, 80).await;
    let of_burst = passage.accepted.load(Ordering::SeqCst) - 1;
    assert_eq!(streams.len(), 80);
    assert!((1..=cores()).contains(&of_burst), "{of_burst} connections on {} cores", cores());
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
