//! The time of a message and the memory that it holds, on a clock that the tests move.

use std::{
    convert::Infallible,
    io::Write,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use flate2::{Compression, write::GzEncoder};
use http_body::Frame;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::*;
use crate::{
    cores::{self, Threads},
    metrics::Metrics,
};

const MIB: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends frames with a pause before each, and after the last one nothing, or the end.
struct Sender {
    frames: Vec<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    ends: bool,
}

impl http_body::Body for Sender {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.frames.is_empty() {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        }
        let pause = self.pause;
        let waiting = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
        std::task::ready!(waiting.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(Some(Ok(Frame::data(self.frames.remove(0)))))
    }
}

fn messages(memory: usize) -> (Messages, Metrics) {
    let metrics = Metrics::default();
    let memory = RequestMemory::new(memory, metrics.clone());
    (Messages::new(memory, 32 * MIB, TIMEOUT).unwrap(), metrics)
}

fn taken(metrics: &Metrics) -> u64 {
    let text = metrics.text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("outcrop_request_memory_bytes ")).unwrap();
    line.parse().unwrap()
}

/// A message of so many bytes that is a prompt, with its prefix.
fn prompt(length: usize) -> Vec<u8> {
    let request = crate::proto::GenerateRequest { prompt: "x".repeat(length), ..Default::default() };
    framed(0, &prost::Message::encode_to_vec(&request))
}

fn framed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![compressed];
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.extend(message);
    bytes
}

/// A compressed message with its prefix.
fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).unwrap();
    framed(1, &encoder.finish().unwrap())
}

fn request(bytes: &[u8], frame: usize, pause: Duration, ends: bool) -> Request {
    let frames = bytes.chunks(frame).map(Bytes::copy_from_slice).collect();
    let body = Body::new(Sender { frames, pause, sleep: None, ends });
    Request::post("/outcrop.v1.GenerationService/Generate").body(body).unwrap()
}

fn client() -> ClientId {
    ClientId::Unknown
}

async fn reason(messages: &Messages, request: Request) -> Reason {
    messages.receive(&client(), request).await.unwrap_err().reason()
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_withholds_the_last_byte_is_told_so_and_holds_nothing() {
    let (messages, metrics) = messages(512 * MIB);
    let whole = prompt(32 * MIB - 64);
    let began = Instant::now();
    let withheld = request(&whole[..whole.len() - 1], MIB, Duration::ZERO, false);
    assert_eq!(reason(&messages, withheld).await, Reason::BodyTimeout);
    assert!(began.elapsed() < TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
    // All bytes are there, and the end of the body is not.
    assert_eq!(reason(&messages, request(&whole, MIB, Duration::ZERO, false)).await, Reason::BodyTimeout);
    assert_eq!(taken(&metrics), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_drips_bytes_is_no_slow_caller() {
    let (messages, _) = messages(512 * MIB);
    let began = Instant::now();
    let drip = request(&prompt(10_000), 1, Duration::from_secs(20), true);
    assert_eq!(reason(&messages, drip).await, Reason::BodyTimeout);
    assert!(began.elapsed() < TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_large_message_over_a_slow_line_is_received() {
    let (messages, metrics) = messages(512 * MIB);
    // 300 KiB a second: 107 seconds.
    let slow = request(&prompt(32 * MIB - 64), 30 << 10, Duration::from_millis(100), true);
    let (request, permit) = messages.receive(&client(), slow).await.unwrap();
    let message = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(message, prompt(32 * MIB - 64));
    assert!(taken(&metrics) >= 2 * message.len() as u64, "encoded and decoded");
    drop(permit);
    assert_eq!(taken(&metrics), 0);
}

#[tokio::test(start_paused = true)]
async fn everything_is_given_back_wherever_a_call_is_dropped() {
    let (messages, metrics) = messages(512 * MIB);
    let whole = prompt(100_000);
    for bytes in [whole, gzip(&prompt(2 * MIB)[PREFIX..])] {
        for polls in 0..200 {
            let mut asked = request(&bytes, 1_000, Duration::from_millis(1), true);
            if bytes[0] == 1 {
                asked.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
            }
            let client = client();
            let mut receiving = pin!(messages.receive(&client, asked));
            for _ in 0..polls {
                if receiving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(taken(&metrics), 0);
    }
}

#[tokio::test]
async fn what_has_no_room_is_refused_at_its_first_bytes() {
    let (messages, metrics) = messages(64 * MIB);
    let begun = request(&prompt(32 * MIB - 64)[..100], 100, Duration::ZERO, false);
    let held = messages.memory.permit(client());
    held.grow(16 * MIB as u64).unwrap();
    assert_eq!(reason(&messages, begun).await, Reason::LocalLimit);
    assert_eq!(taken(&metrics), 16 * MIB as u64);
    messages.receive(&client(), request(&prompt(1_000), 100, Duration::ZERO, true)).await.unwrap();
}

#[tokio::test]
async fn a_message_is_taken_apart_as_grpc_does() {
    let (messages, _) = messages(512 * MIB);
    let receive = async |bytes: &[u8], encoding: &str| {
        let mut asked = request(bytes, 1_000, Duration::ZERO, true);
        if !encoding.is_empty() {
            asked.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
        }
        let (request, _) = messages.receive(&client(), asked).await?;
        Ok::<_, Error>(request.into_body().collect().await.unwrap().to_bytes())
    };
    let plain = prompt(700_000);
    assert_eq!(receive(&gzip(&plain[PREFIX..]), "gzip").await.unwrap(), plain);
    assert_eq!(receive(&plain, "gzip").await.unwrap(), plain, "compression is up to each message");
    let refused = async |bytes: &[u8]| receive(bytes, "gzip").await.unwrap_err().reason();
    assert_eq!(refused(&gzip(&vec![0; 32 * MIB + 1])).await, Reason::MessageTooLarge, "a bomb");
    assert_eq!(refused(&framed(1, b"no gzip")).await, Reason::MalformedRequest);
    assert_eq!(refused(&[prompt(1), prompt(1)].concat()).await, Reason::CardinalityViolation, "two messages");
    assert_eq!(refused(b"").await, Reason::CardinalityViolation, "no message");
    // These are for the gRPC library to refuse.
    for incomplete in [&plain[..3], &plain[..100]] {
        assert_eq!(receive(incomplete, "").await.unwrap(), incomplete);
    }
}

/// Decoding it would keep the streams of the core waiting.
#[tokio::test]
async fn a_large_message_is_handled_outside_its_core() {
    let (messages, _) = messages(512 * MIB);
    let threads = Threads::start(1).unwrap();
    for (what, encode) in [
        ("gRPC", prompt as fn(usize) -> Vec<u8>),
        ("compressed", |length| gzip(&prompt(length)[PREFIX..])),
        ("a body", |length| vec![b'0'; length]),
    ] {
        for (length, leaves) in [(MIB, true), (1_000, false)] {
            let mut asked = request(&encode(length), MIB, Duration::ZERO, true);
            if what == "compressed" {
                asked.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
            }
            let (messages, (tell, told)) = (messages.clone(), oneshot::channel());
            threads.cores().spawn_stream(async move {
                let received = match what {
                    "a body" => messages.receive_body(&client(), asked).await,
                    _ => messages.receive(&client(), asked).await,
                };
                tell.send((received.is_ok(), cores::current().is_none())).unwrap();
            });
            assert_eq!(told.await.unwrap(), (true, leaves), "{what} of {length} bytes");
        }
    }
    threads.stop().await;
}
