//! Tests of the reader on bodies that arrive piece by piece, with paused time.

mod faults;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::*;
use crate::bedrock::frames::paced::{event, frame, paced};

fn text() -> Bytes {
    event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#)
}

fn stop() -> Bytes {
    event("messageStop", r#"{"stopReason":"end_turn"}"#)
}

/// An answer that arrives in these pieces, each after so many seconds, with an idle timeout of five minutes.
fn reading(pieces: impl IntoIterator<Item = (u64, Bytes)>) -> ResponseReader {
    ResponseReader::new(Upstream::of_body(paced(pieces)), "id", AttemptLog::default(), Duration::from_mins(5))
}

/// The next chunk; `None` at the end.
async fn next(reading: &mut ResponseReader) -> Result<Option<Chunk>, Reason> {
    reading.has_content = true;
    let next = poll_fn(|cx| Pin::new(&mut *reading).poll_next(cx)).await;
    let chunk = |piece| match piece {
        Piece::Chunk(chunk) => chunk,
        Piece::Relayed(part) => panic!("{part:?} of an answer that is not relayed"),
    };
    next.transpose().map(|piece| piece.map(chunk)).map_err(|error| error.reason())
}

async fn count(mut reading: ResponseReader) -> Result<usize, Reason> {
    let mut chunks = 0;
    while next(&mut reading).await?.is_some() {
        chunks += 1;
    }
    Ok(chunks)
}

#[tokio::test(start_paused = true)]
async fn a_healthy_stream_with_long_gaps_survives() {
    let gaps = [0, 120, 299, 120, 299].map(|gap| (gap, text()));
    assert_eq!(count(reading(gaps.into_iter().chain([(120, stop())]))).await, Ok(7), "start, five texts, finish");
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_is_too_long_ends_it() {
    let began = Instant::now();
    assert_eq!(count(reading([(0, text()), (10, text()), (301, text())])).await, Err(Reason::IdleTimeout));
    assert_eq!(began.elapsed(), Duration::from_secs(310));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_arrives_byte_by_byte_resets_the_idle_timeout() {
    let bytes = text();
    let slowly = (0..bytes.len()).map(|at| (200, bytes.slice(at..=at)));
    assert_eq!(count(reading([(0, text())].into_iter().chain(slowly).chain([(0, stop())]))).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn the_idle_timeout_stops_while_the_caller_does_not_read() {
    let mut reading = reading([(0, text()), (10, text()), (10, text()), (10, stop())]);
    for _ in 0..2 {
        next(&mut reading).await.unwrap();
    }
    // Polled while nothing is there, and then not polled for an hour.
    let nothing = poll_fn(|cx| Poll::Ready(Pin::new(&mut reading).poll_next(cx).is_pending())).await;
    assert!(nothing);
    for _ in 0..3 {
        advance(Duration::from_hours(1)).await;
        assert!(next(&mut reading).await.unwrap().is_some());
    }
    assert_eq!(next(&mut reading).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_stall_after_message_stop_ends_ok_without_usage() {
    let began = Instant::now();
    // The bytes never end, and the metadata never arrives.
    let stalled = [(0, text()), (1, stop()), (100_000, text())];
    assert_eq!(count(reading(stalled)).await, Ok(3), "start, text, finish");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
}
