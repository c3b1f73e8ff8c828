//! A server with little memory and few descriptors, and every gate under load at once: a caller who behaves gets every answer whole,
//! what is too much is refused, and nothing is left afterwards.
//!
//! `OUTCROP_TEST_CHAOS=10m` is the long form: 100,000 creates and 2,000 silent sockets, and requests of the real size.
//!
//! - `floods` floods of calls
//! - `abuse` connections that do what no client does
//! - `tally` what was answered

mod abuse;
mod floods;
mod tally;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use bedrock_emulator::{Script, Step};
use outcrop_client::{
    Client,
    proto::{CreateConversationRequest, GenerateRequest},
};
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::Endpoint;

use self::tally::Tally;
use crate::{
    descriptors::{IDLE_TICKS, WATCHED},
    harness::{collect, duration_of, request, soon, text_of},
    process::Remote,
};

/// How long the short form takes.
const SHORT: Duration = Duration::from_secs(6);

/// Descriptors and KiB of address space. A quarter of the descriptors is for the rest of the process and for Bedrock.
const LIMITS: &str = "ulimit -n 256; ulimit -v 2097152";

/// The most conversations. It is less than the rate limits of the callers let through.
const CONVERSATIONS: &str = "3000";

/// The text of an ordinary answer.
const ANSWER: &str = "one two three four five";

/// How much is sent.
#[derive(Clone, Copy, Debug)]
struct Scale {
    creates: u64,
    silent: usize,
    /// Streams on one connection that each withhold their last byte.
    withheld: usize,
    withheld_bytes: usize,
    /// The memory for requests, as the flag says it.
    memory: &'static str,
    /// Callers of each flood at the same time.
    callers: usize,
    unread: usize,
}

impl Scale {
    const LONG: Self = Self {
        creates: 100_000,
        silent: 2_000,
        withheld: 1_000,
        withheld_bytes: 32 << 20,
        memory: "536870912",
        callers: 64,
        unread: 200,
    };
    const SHORT: Self = Self {
        creates: 5_000,
        silent: 500,
        withheld: 200,
        withheld_bytes: 4 << 20,
        memory: "67108864",
        callers: 16,
        unread: 50,
    };
}

/// The server, and what its callers saw. Every flood has an address of its own, because most limits are those of an address.
#[derive(Clone)]
struct Scene {
    endpoint: String,
    until: Instant,
    scale: Scale,
    tally: Arc<Tally>,
}

impl Scene {
    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// A client at this address of the loopback network.
    async fn client(&self, last: u8) -> Client {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).unwrap().local_address(Some(source(last)));
        loop {
            // A flood may have all connections of the server for a moment.
            if let Ok(channel) = endpoint.connect().await {
                return Client::over(channel);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn source(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A caller who behaves, at 127.0.0.2: answers, and turns of a conversation. Returns how many there were.
async fn behaves(scene: Scene, client: Client, conversation_id: String) -> (u64, u64) {
    let (mut answers, mut turns) = (0, 0);
    while !scene.over() {
        let asked = request("emulator.ordinary");
        let whole = soon(collect(soon(client.generate(asked)).await.expect("the answer begins"))).await.whole();
        assert_eq!(text_of(&whole), ANSWER);
        answers += 1;
        let turn = GenerateRequest { conversation_id: conversation_id.clone(), ..request("emulator.ordinary") };
        soon(collect(soon(client.generate(turn)).await.expect("the turn begins"))).await.whole();
        turns += 1;
        sleep(Duration::from_millis(20)).await;
    }
    (answers, turns)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_behaves_is_served_while_every_gate_is_under_load() {
    let time = duration_of("OUTCROP_TEST_CHAOS", SHORT);
    let scale = if time > Duration::from_secs(30) { Scale::LONG } else { Scale::SHORT };
    // Its own sockets are in this process.
    outcrop::app::raise_file_limit();
    let conversations = ["--conversations", "memory", "--max-conversations", CONVERSATIONS];
    let largest = scale.withheld_bytes.to_string();
    let memory = ["--max-request-bytes", &largest, "--max-request-memory", scale.memory, "--body-timeout", "3s"];
    let remote = Remote::start_within(LIMITS, &[&conversations[..], &memory].concat()).await;
    remote.emulator.register("ordinary", Script::reply(ANSWER));
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    remote.emulator.register("flood", Script::of([flood]));
    let endpoint = remote.serving.endpoint.clone();
    let scene = Scene { endpoint, until: Instant::now() + time, scale, tally: Arc::default() };
    let client = scene.client(2).await;
    let created = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    soon(collect(soon(client.generate(request("emulator.ordinary"))).await.unwrap())).await.whole();
    let (memory, files) = (remote.memory(), remote.files());
    let mut load = JoinSet::new();
    floods::start(&scene, &mut load);
    abuse::start(&scene, &mut load);
    let mut behaving = JoinSet::new();
    behaving.spawn(behaves(scene.clone(), client.clone(), created.conversation_id.clone()));
    let mut most_files = 0;
    while !scene.over() {
        most_files = most_files.max(remote.files());
        sleep(Duration::from_millis(200)).await;
    }
    let (answers, turns) = soon(behaving.join_next()).await.unwrap().unwrap();
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    soon(remote.quiet()).await;
    let (_, stored) = soon(client.conversation(&created.conversation_id)).await.unwrap();
    let under_load = remote.memory();
    let before = remote.ticks();
    sleep(WATCHED).await;
    let ticks = remote.ticks() - before;
    println!("{time:?}, {scale:?}\n{}", scene.tally);
    println!("who behaves: {answers} answers and {turns} turns, all whole; {} turns in the history", stored.len());
    println!("resident {memory} KiB before, {} at its peak, {under_load} afterwards", remote.peak());
    println!("descriptors {files} before, {most_files} at most of 256, {} afterwards", remote.files());
    println!("{ticks} ticks of CPU in {WATCHED:?} afterwards");
    assert!(answers > 0 && turns == answers, "{answers} answers, {turns} turns");
    // A conversation has at most 200 messages.
    assert_eq!(stored.len() as u64, turns.min(100));
    assert!(ticks < IDLE_TICKS, "{ticks} ticks");
    // The memory for requests, and 256 MiB for everything else.
    let budget = (scale.memory.parse::<u64>().unwrap() >> 10) + (256 << 10);
    assert!(remote.peak() < memory + budget, "{} KiB", remote.peak());
    assert!(most_files <= 256 && remote.files() <= files + 20, "{most_files}, {}", remote.files());
    scene.tally.check(scale);
}
