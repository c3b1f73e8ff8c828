//! The kinds of frames, damage and ends.

use tokio_stream::StreamExt;

use super::{paced::frame, *};
use crate::error::Reason;

async fn decode(bytes: impl Into<SdkBody>) -> Vec<Result<Frame, Reason>> {
    Frames::new(bytes.into()).map(|frame| frame.map_err(|error| error.reason())).collect().await
}

#[tokio::test]
async fn the_three_kinds_of_message_are_distinguished() {
    let bytes = [
        frame(&[(":message-type", "event"), (":event-type", "messageStart")], "{}"),
        frame(&[(":message-type", "exception"), (":exception-type", "throttlingException")], "{}"),
        frame(&[(":message-type", "error"), (":error-code", "c"), (":error-message", "m")], ""),
    ];
    let frames = decode(bytes.concat()).await;
    assert!(matches!(&frames[0], Ok(Frame::Event { event_type, .. }) if event_type.as_str() == "messageStart"));
    assert!(matches!(&frames[1], Ok(Frame::Exception { .. })));
    assert_eq!(frames[2], Ok(Frame::Error { code: "c".into(), message: "m".into() }));
    assert_eq!(frames.len(), 3);
}

#[tokio::test]
async fn a_frame_without_message_type_is_identified_by_its_other_header() {
    let bytes = [frame(&[(":event-type", "a")], "{}"), frame(&[(":exception-type", "b")], "{}")];
    let frames = decode(bytes.concat()).await;
    assert!(matches!(frames[..], [Ok(Frame::Event { .. }), Ok(Frame::Exception { .. })]), "{frames:?}");
}

#[tokio::test]
async fn damage_anywhere_in_a_frame_is_noticed() {
    let whole = frame(&[(":message-type", "event"), (":event-type", "messageStart")], r#"{"role":"assistant"}"#);
    for at in 0..whole.len() {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 0x10;
        assert_eq!(decode(damaged).await[0], Err(Reason::UpstreamCorrupt), "byte {at}");
    }
}

#[tokio::test]
async fn an_end_inside_a_frame_is_a_truncation() {
    let whole = frame(&[(":message-type", "event"), (":event-type", "messageStart")], "{}");
    for length in 1..whole.len() {
        assert_eq!(decode(whole[..length].to_vec()).await, [Err(Reason::UpstreamTruncated)], "{length} bytes");
    }
}

#[tokio::test]
async fn a_frame_without_its_headers_is_corrupt() {
    for headers in [&[][..], &[(":message-type", "event")], &[(":message-type", "surprise")]] {
        assert_eq!(decode(frame(headers, "{}")).await[0], Err(Reason::UpstreamCorrupt));
    }
}
