//! From the bytes of Bedrock to chunks, and from chunks to gRPC messages.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::{
    body::SdkBody,
    event_stream::{Header, HeaderValue, Message},
};
use bytes::Bytes;
use http_body::Body;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::codec::{Codec, EncodeBody, SingleMessageCompressionOverride};

use super::{Named, Work};
use crate::{
    bedrock::{
        frames::{Frame, Frames, pieces::Pieces},
        invoke,
    },
    event::{self, EventMapper, Members, native::CHUNK},
    outcome::pace::Pace,
    proto::{Chunk, GenerateRequest, Start},
    request::Family,
};

/// The chunks of an answer.
pub(super) const CHUNKS: u32 = 256;

/// The frames of one piece of a body that is there at once.
const TOGETHER: usize = 32;

pub(super) const ALL: [Named; 7] = [
    ("frame", frames),
    ("frame left unread", frames_unread),
    ("text of ConverseStream to chunk", text_of_converse),
    ("event of ConverseStream to chunk", converse),
    ("native event to chunk", native),
    ("chunk to gRPC message", encode),
    ("pace", pace),
];

/// The frame of an event with the headers of Bedrock.
pub(super) fn frame(event_type: &'static str, payload: &Value) -> Bytes {
    let headers = [(":event-type", event_type), (":content-type", "application/json"), (":message-type", "event")];
    let headers = headers.map(|(name, value)| Header::new(name, HeaderValue::String(value.into())));
    let mut bytes = Vec::new();
    let message = Message::new_from_parts(headers.into(), payload.to_string());
    write_message_to(&message, &mut bytes).expect("a frame within the lengths of the format");
    bytes.into()
}

/// The event of a text with the padding of Bedrock.
pub(super) fn text() -> Value {
    json!({"contentBlockIndex": 0, "delta": {"text": " a few words of it"}, "p": "abcdefghijklmnopqrstuvwxyzABCD"})
}

/// The frames of texts, in pieces.
fn body() -> Frames {
    let frame = frame("contentBlockDelta", &text());
    let piece = Bytes::from(frame.repeat(TOGETHER));
    let pieces = (0..CHUNKS as usize / TOGETHER).map(|_| piece.clone());
    Frames::new(SdkBody::from_body_1_x(Pieces::of(pieces)))
}

/// Reads to the end, and returns the number of frames.
fn read(mut frames: Frames) -> u32 {
    let mut number = 0;
    loop {
        match Pin::new(&mut frames).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(Frame::Unread { count, .. }))) => number += count,
            Poll::Ready(Some(Ok(_))) => number += 1,
            Poll::Ready(Some(Err(_)) | None) => return number,
            // It lets other tasks run.
            Poll::Pending => {}
        }
    }
}

fn frames() -> Work {
    let body = body();
    Box::new(|| assert_eq!(read(body), CHUNKS))
}

fn frames_unread() -> Work {
    let mut body = body();
    body.leave_unread(&["contentBlockDelta"]);
    Box::new(|| assert_eq!(read(body), CHUNKS))
}

fn text_of_converse() -> Work {
    let payload = text().to_string();
    Box::new(move || {
        let (mut mapper, mut ready, mut chunks) = (EventMapper::new(Start::default()), VecDeque::new(), 0);
        for _ in 0..CHUNKS {
            assert!(mapper.accept_text("contentBlockDelta", payload.as_bytes(), &mut ready), "a text");
            chunks += ready.drain(..).count();
        }
        assert_eq!(chunks, 1 + CHUNKS as usize, "the start comes with the first");
    })
}

fn converse() -> Work {
    let input = json!({"toolUse": {"input": "a few words of it"}});
    let payload = json!({"contentBlockIndex": 0, "delta": input, "p": "abcdefghijklmnop"}).to_string();
    Box::new(move || {
        let (mut mapper, mut ready, mut chunks) = (EventMapper::new(Start::default()), VecDeque::new(), 0);
        for _ in 0..CHUNKS {
            let event = event::parse("contentBlockDelta", payload.as_bytes()).expect("JSON");
            mapper.accept("contentBlockDelta", event, &mut ready);
            chunks += ready.drain(..).count();
        }
        assert_eq!(chunks, 1 + CHUNKS as usize, "the start comes with the first");
    })
}

fn native() -> Work {
    let delta = json!({"type": "text_delta", "text": " a few words of it"});
    let payload = json!({"type": "content_block_delta", "index": 0, "delta": delta}).to_string();
    Box::new(move || {
        let (mut mapper, mut ready, mut chunks) = (EventMapper::new(Start::default()), VecDeque::new(), 0);
        let mut decoder = invoke::decoder(Family::Anthropic);
        for _ in 0..CHUNKS {
            let chunk = event::parse(CHUNK, payload.as_bytes()).expect("JSON");
            let beside = Members::of_chunk(Map::new());
            mapper.native(decoder.as_mut(), chunk, beside, &mut ready).expect("a chunk of the family");
            chunks += ready.drain(..).count();
        }
        assert_eq!(chunks, 1 + CHUNKS as usize, "the start comes with the first");
    })
}

fn encode() -> Work {
    let (mut mapper, mut ready) = (EventMapper::new(Start::default()), VecDeque::new());
    for _ in 0..CHUNKS {
        let event = event::parse("contentBlockDelta", text().to_string().as_bytes()).expect("JSON");
        mapper.accept("contentBlockDelta", event, &mut ready);
    }
    ready.pop_front();
    Box::new(move || {
        let mut codec = crate::proto::Codec::<Chunk, GenerateRequest>::default();
        let chunks = tokio_stream::iter(ready.into_iter().map(Ok));
        let (none, compression) = (None, SingleMessageCompressionOverride::default());
        let mut body = pin!(EncodeBody::new_server(codec.encoder(), chunks, none, compression, None));
        let mut length = 0;
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            length += frame.data_ref().map_or(0, Bytes::len);
        }
        assert!(length > 20 * CHUNKS as usize, "{length} bytes");
    })
}

/// A chunk that was waited for.
fn pace() -> Work {
    Box::new(|| {
        let mut pace = Pace::default();
        for _ in 0..CHUNKS {
            pace.waits(Instant::now());
            pace.chunks(1, Instant::now());
        }
        assert_eq!(pace.number(), u64::from(CHUNKS));
    })
}
