//! Conversations in a Redis that is far away, or answers too late.

use std::{net::SocketAddr, time::Duration};

use bedrock_emulator::{Script, Step};
use outcrop_client::proto::{CreateConversationRequest, GenerateRequest};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::Code;

use super::{server::Redis, server_at};
use crate::{
    conversations::turn,
    harness::{collect, soon},
};

/// How long a round trip takes.
const ROUND_TRIP: Duration = Duration::from_millis(120);

/// Turns at the same time.
const TURNS: usize = 300;

/// A proxy that keeps every byte for a while, and answers back until it may pass them on.
#[derive(Clone)]
struct Proxy {
    /// How long a byte is kept, in both directions.
    delay: Duration,
    /// Requests with this in them hold back all answers.
    trigger: &'static str,
    held: watch::Sender<bool>,
}

impl Proxy {
    fn new(delay: Duration, trigger: &'static str) -> Self {
        Self { delay, trigger, held: watch::Sender::new(false) }
    }

    async fn start(&self, port: u16) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, proxy) = (listener.local_addr().unwrap(), self.clone());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let (requests, answers) = (proxy.clone(), proxy.clone());
                connections.spawn(async move { requests.copy(near_in, far_out, false).await });
                connections.spawn(async move { answers.copy(far_in, near_out, true).await });
            }
        });
        (address, running)
    }

    async fn copy(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, answers: bool) {
        let (arrived, mut leaving) = mpsc::channel::<(Instant, Vec<u8>)>(10_000);
        let read = async {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                let bytes = buffer[..count].to_vec();
                if !answers && !self.trigger.is_empty() && String::from_utf8_lossy(&bytes).contains(self.trigger) {
                    self.held.send_replace(true);
                }
                if arrived.send((Instant::now() + self.delay, bytes)).await.is_err() {
                    break;
                }
            }
            drop(arrived);
        };
        let write = async {
            while let Some((at, bytes)) = leaving.recv().await {
                sleep_until(at).await;
                if answers {
                    self.held.subscribe().wait_for(|held| !held).await.unwrap();
                }
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(read, write);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_running_turns_keep_their_leases_with_a_redis_that_is_far_away() {
    let Some(redis) = Redis::start("redis-far") else { return };
    let (address, _proxy) = Proxy::new(ROUND_TRIP / 2, "").start(redis.port).await;
    let server = server_at(&format!("redis://{address}")).await;
    // Longer than a lease lasts, so that every lease must be renewed several times.
    let slow = Script::of([Step::text("a"), Step::WaitMs(34_000), Step::message_stop("end_turn")]);
    let model = server.emulator.register("slow", slow);
    let mut running = JoinSet::new();
    for _ in 0..TURNS {
        let (client, model) = (server.client.clone(), model.clone());
        running.spawn(async move {
            let created = client.create_conversation(CreateConversationRequest::default()).await.unwrap();
            let chunks = client.generate(turn(&created.conversation_id, &model, "hi")).await.unwrap();
            collect(chunks).await.result
        });
    }
    let mut kept = 0;
    while let Some(outcome) = timeout(Duration::from_mins(2), running.join_next()).await.unwrap() {
        outcome.unwrap().unwrap();
        kept += 1;
    }
    println!("{kept} turns of 34 s kept their leases at {ROUND_TRIP:?} a round trip");
    assert_eq!(kept, TURNS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_answer_came_after_the_time_limit_is_unknown_and_stored_once() {
    let Some(redis) = Redis::start("redis-late") else { return };
    // Only the script that stores a turn appends to a list.
    let proxy = Proxy::new(Duration::ZERO, "RPUSH");
    let (address, _running) = proxy.start(redis.port).await;
    let server = server_at(&format!("redis://{address}")).await;
    let created = soon(server.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    let id = created.conversation_id;
    let asked = || GenerateRequest { turn_id: "the turn".to_owned(), ..turn(&id, "emulator.tools", "hi") };
    let (_, error) = server.ask(asked()).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Unknown, "CONVERSATION_OUTCOME_UNKNOWN"));
    proxy.held.send_replace(false);
    // Sent again it is known to be there.
    let said = soon(async {
        loop {
            match server.ask(asked()).await.result {
                Err(error) if error.to_string().starts_with("CONVERSATION_STORE") => {}
                said => break said,
            }
        }
    });
    let said = said.await.unwrap_err().to_string();
    assert!(said.starts_with("CONVERSATION_TURN_STORED"), "{said}");
    assert_eq!(soon(server.client.conversation(&id)).await.unwrap().1.len(), 1);
}
