//! Fuzz functions for what Bedrock sends.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use aws_smithy_types::body::SdkBody;
use serde_json::Map;
use tokio_stream::Stream;

use crate::{
    bedrock::{
        frames::{Frame, Frames, pieces::Pieces},
        invoke,
    },
    error::{Error, Reason},
    event::{self, EventMapper, Members, invariants::Invariants},
    proto::Start,
    request::Family,
};

/// The longest frame that a fuzz input may declare.
const LONGEST: usize = 1 << 20;

/// A response body, cut into pieces at the places that its first byte says. However it is cut, it has the same frames, and they
/// are never more than the body.
pub fn frames(data: &[u8]) {
    let Some((cut, body)) = data.split_first() else { return };
    let whole = decode(body, body.len().max(1));
    let cut = decode(body, 1 + usize::from(*cut));
    assert_eq!(whole, cut, "the pieces of a body do not matter");
    let lengths = whole.0.iter().map(|frame| match frame {
        Frame::Event { payload, .. } | Frame::Exception { payload, .. } => payload.len(),
        Frame::Error { code, message } => code.len() + message.len(),
        Frame::Whole(body) => body.len(),
        Frame::Unread { .. } => unreachable!("nothing is left unread"),
    });
    assert!(lengths.sum::<usize>() + 16 * whole.0.len() <= body.len(), "more came out than went in");
}

/// The frames of a body that comes in pieces of this length, and the error at their end.
fn decode(body: &[u8], piece: usize) -> (Vec<Frame>, Option<Reason>) {
    let pieces = body.chunks(piece).map(|piece| piece.to_vec().into());
    let mut frames = Frames::new(SdkBody::from_body_1_x(Pieces::of(pieces)));
    frames.at_most(LONGEST);
    let mut decoded = Vec::new();
    loop {
        // The pieces are all there, so nothing is ever pending.
        match Pin::new(&mut frames).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => decoded.push(frame),
            Poll::Ready(Some(Err(error))) => return (decoded, Some(error.reason())),
            Poll::Ready(None) => return (decoded, None),
            Poll::Pending => {}
        }
    }
}

/// Events of ConverseStream, one a line: the type, a space and the payload.
pub fn events(data: &[u8]) {
    let mut stopped = false;
    run(data, |mapper, line, ready| {
        let (event_type, payload) = split(line, b' ');
        let event_type = String::from_utf8_lossy(event_type);
        match event::parse(&event_type, payload) {
            Ok(payload) => {
                mapper.accept(&event_type, payload, ready);
                stopped |= event_type == "messageStop";
            }
            Err(error) if event::is_known(&event_type) => return Err(error),
            Err(_) => mapper.opaque(event_type.into_owned(), payload, ready),
        }
        assert_eq!(mapper.is_stopped(), stopped);
        Ok(())
    });
}

/// Chunks in the native format of the family that the first byte says, one a line.
pub fn native(data: &[u8]) {
    let Some((family, chunks)) = data.split_first() else { return };
    let number = Family::all().count();
    let Some(family) = Family::all().nth(usize::from(*family) % number) else { return };
    let mut decoder = invoke::decoder(family);
    run(chunks, |mapper, line, ready| {
        let chunk = event::parse(event::native::CHUNK, line)?;
        mapper.native(decoder.as_mut(), chunk, Members::of_chunk(Map::new()), ready)
    });
    run(chunks, |mapper, line, ready| mapper.raw(line, Members::of_chunk(Map::new()), ready));
}

/// Gives the lines of an answer to a new mapper until one of them is an error, and asserts what holds for every answer.
fn run(
    data: &[u8],
    mut take: impl FnMut(&mut EventMapper, &[u8], &mut VecDeque<crate::proto::Chunk>) -> Result<(), Error>,
) {
    let (mut mapper, mut ready, mut invariants) =
        (EventMapper::new(Start::default()), VecDeque::new(), Invariants::default());
    for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let taken = take(&mut mapper, line, &mut ready);
        ready.drain(..).for_each(|chunk| invariants.see(&chunk));
        assert!(!invariants.finished(), "a finish before the end of the bytes");
        if taken.is_err() {
            return;
        }
    }
    let stopped = mapper.is_stopped();
    let ended = mapper.end(&mut ready);
    ready.drain(..).for_each(|chunk| invariants.see(&chunk));
    assert_eq!(
        (ended.is_ok(), invariants.finished()),
        (stopped, stopped),
        "OK after the terminal event, and only then"
    );
}

fn split(line: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == separator) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}
