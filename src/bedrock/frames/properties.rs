//! Any frames, however they are cut into pieces and wherever they are damaged.

use std::task::Waker;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::{
    pieces::{Last, Pieces},
    *,
};
use crate::error::Reason;

/// The types that are left unread.
const LEFT: &[&str] = &["left", "unread"];

fn any_header() -> impl Strategy<Value = Header> {
    let value = prop_oneof![
        ".{0,12}".prop_map(|text| HeaderValue::String(text.into())),
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i64>().prop_map(HeaderValue::Int64),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| HeaderValue::ByteArray(bytes.into())),
    ];
    ("[a-z:-]{1,12}", value).prop_map(|(name, value)| Header::new(name, value))
}

/// A frame of Bedrock, also with unknown headers.
fn any_frame() -> impl Strategy<Value = (Frame, Vec<u8>)> {
    let payload = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..3_000)];
    let others = prop::collection::vec(any_header(), 0..3);
    let name = prop_oneof![Just(LEFT[0].to_owned()), "[a-zA-Z]{1,12}"];
    (0..3_u8, name, ".{0,12}", payload, others).prop_map(|(kind, name, message, payload, others)| {
        let payload = Bytes::from(payload);
        let (frame, headers) = match kind {
            0 => (
                Frame::Event { event_type: name.clone().into(), payload: payload.clone() },
                vec![(":message-type", "event".to_owned()), (":event-type", name)],
            ),
            1 => (
                Frame::Exception { exception_type: name.clone(), payload: payload.clone() },
                vec![(":exception-type", name), (":message-type", "exception".to_owned())],
            ),
            _ => (
                Frame::Error { code: name.clone(), message: message.clone() },
                vec![(":message-type", "error".to_owned()), (":error-code", name), (":error-message", message)],
            ),
        };
        let headers = headers.into_iter().map(|(name, value)| Header::new(name, HeaderValue::String(value.into())));
        let mut bytes = Vec::new();
        write_message_to(&Message::new_from_parts(headers.chain(others).collect(), payload), &mut bytes).unwrap();
        (frame, bytes)
    })
}

fn any_frames() -> impl Strategy<Value = Vec<(Frame, Vec<u8>)>> {
    prop::collection::vec(any_frame(), 0..6)
}

/// The lengths of pieces, again and again until the body is over. A piece may be empty.
fn any_lengths() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), prop::collection::vec(0..40_usize, 1..5)]
        .prop_filter("comes to an end", |lengths| lengths.iter().any(|length| *length > 0))
}

fn pieces(body: &[u8], lengths: &[usize]) -> Pieces {
    let (mut rest, mut pieces, mut next) = (Bytes::copy_from_slice(body), Vec::new(), lengths.iter().cycle());
    while let (false, Some(length)) = (rest.is_empty(), next.next()) {
        pieces.push(rest.split_to(rest.len().min(*length)));
    }
    Pieces::of(pieces)
}

/// The frames of a body, and the error at their end. `None` also if nothing more comes.
fn decode(body: Pieces) -> (Vec<Frame>, Option<Reason>) {
    let (mut frames, mut decoded) = (Frames::new(SdkBody::from_body_1_x(body)), Vec::new());
    while let Poll::Ready(Some(next)) = Pin::new(&mut frames).poll_next(&mut Context::from_waker(Waker::noop())) {
        match next {
            Ok(frame) => decoded.push(frame),
            Err(error) => return (decoded, Some(error.reason())),
        }
    }
    (decoded, None)
}

/// The bytes of the frames of a body, all read or some left unread, with the number of those, and the error at their end.
fn relayed(body: Pieces, unread: &'static [&'static str]) -> (Vec<u8>, u32, Option<Reason>) {
    let (mut frames, mut bytes, mut left) = (Frames::new(SdkBody::from_body_1_x(body)), Vec::new(), 0);
    frames.leave_unread(unread);
    while let Poll::Ready(Some(next)) = Pin::new(&mut frames).poll_next(&mut Context::from_waker(Waker::noop())) {
        match next {
            Ok(Frame::Unread { bytes: own, count }) => {
                bytes.extend_from_slice(&own);
                left += count;
            }
            Ok(_) => bytes.extend_from_slice(&frames.take_last()),
            Err(error) => return (bytes, left, Some(error.reason())),
        }
    }
    (bytes, left, None)
}

fn joined(frames: &[(Frame, Vec<u8>)]) -> (Vec<Frame>, Vec<u8>) {
    (
        frames.iter().map(|(frame, _)| frame.clone()).collect(),
        frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_out_as_they_were_sent_however_they_are_cut(frames in any_frames(), lengths in any_lengths()) {
        let (frames, body) = joined(&frames);
        prop_assert_eq!(decode(pieces(&body, &lengths)), (frames, None));
    }

    #[test]
    fn the_frames_before_a_damaged_one_come_out_and_the_damage_is_an_error(
        frames in any_frames().prop_filter("has a byte", |frames| !frames.is_empty()),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        lengths in any_lengths(),
    ) {
        let (whole, mut body) = joined(&frames);
        let at = at.index(body.len());
        body[at] ^= flip;
        let ends = frames.iter().scan(0, |end, (_, bytes)| { *end += bytes.len(); Some(*end) });
        let before = ends.take_while(|end| *end <= at).count();
        prop_assert_eq!(decode(pieces(&body, &lengths)), (whole[..before].to_vec(), Some(Reason::UpstreamCorrupt)));
    }

    #[test]
    fn the_whole_frames_before_an_end_come_out_and_a_part_of_one_is_a_truncation(
        frames in any_frames(),
        at in any::<prop::sample::Index>(),
        lengths in any_lengths(),
        last in prop::sample::select(vec![Last::End, Last::Cut, Last::Stall]),
    ) {
        let (whole, body) = joined(&frames);
        let at = at.index(body.len() + 1);
        let ends: Vec<_> = frames.iter().scan(0, |end, (_, bytes)| { *end += bytes.len(); Some(*end) }).collect();
        let before = ends.iter().filter(|end| **end <= at).count();
        let truncated = match last {
            Last::End => at != before.checked_sub(1).map_or(0, |last| ends[last]),
            Last::Cut => true,
            Last::Stall => false,
        };
        let expected = (whole[..before].to_vec(), truncated.then_some(Reason::UpstreamTruncated));
        prop_assert_eq!(decode(pieces(&body[..at], &lengths).ending(last)), expected);
    }

    #[test]
    fn frames_that_are_left_unread_are_relayed_as_those_that_are_read(
        frames in any_frames(),
        damage in prop::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
        lengths in any_lengths(),
    ) {
        let (whole, mut body) = joined(&frames);
        if let Some((at, flip)) = damage.filter(|_| !body.is_empty()) {
            let at = at.index(body.len());
            body[at] ^= flip;
        }
        let (bytes, none, error) = relayed(pieces(&body, &lengths), &[]);
        let (left_bytes, left, left_error) = relayed(pieces(&body, &lengths), LEFT);
        prop_assert_eq!((none, left_bytes, left_error), (0, bytes, error));
        if error.is_none() {
            let wanted = |frame: &&Frame| matches!(frame, Frame::Event { event_type, .. } if event_type.as_str() == LEFT[0]);
            let most = u32::try_from(whole.iter().filter(wanted).count()).unwrap();
            prop_assert!(left <= most, "{left} of {most}");
        }
    }
}
