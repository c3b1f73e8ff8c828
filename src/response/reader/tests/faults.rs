//! Any events, cut, damaged or stalled anywhere: how the answer ends is what a simple model says.

use proptest::prelude::*;

use super::*;
use crate::{
    bedrock::frames::pieces::{Last, Pieces},
    event::invariants::Invariants,
    proto::chunk::Event,
};

/// One frame of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    MessageStart,
    Text,
    Newer,
    Stop,
    Metadata,
    Exception,
    Error,
    NoJson,
}

impl Sent {
    fn bytes(self) -> Vec<u8> {
        let (headers, payload): (&[_], _) = match self {
            Self::MessageStart => (&[(":event-type", "messageStart")], r#"{"role":"assistant"}"#),
            Self::Text => return text().to_vec(),
            Self::Newer => (&[(":event-type", "newer")], "no JSON"),
            Self::Stop => return stop().to_vec(),
            Self::Metadata => (&[(":event-type", "metadata")], r#"{"usage":{"inputTokens":1,"outputTokens":1}}"#),
            Self::Exception => (&[(":exception-type", "throttlingException")], r#"{"message":"m"}"#),
            Self::Error => (&[(":message-type", "error"), (":error-code", "c")], ""),
            Self::NoJson => (&[(":event-type", "contentBlockDelta")], "no JSON"),
        };
        frame(headers, payload).to_vec()
    }
}

fn any_sent() -> impl Strategy<Value = Sent> {
    use Sent::{Error, Exception, MessageStart, Metadata, Newer, NoJson, Stop, Text};
    prop_oneof![
        8 => prop::sample::select(vec![MessageStart, Text, Text, Newer, Stop, Metadata]),
        1 => prop::sample::select(vec![Exception, Error, NoJson]),
    ]
}

/// An answer and what happens to its bytes.
#[derive(Clone, Debug)]
struct Case {
    sent: Vec<Sent>,
    /// How many of its bytes arrive; more than there are is all.
    arrive: prop::sample::Index,
    whole: bool,
    damaged: Option<prop::sample::Index>,
    last: Last,
    piece: usize,
}

fn any_case() -> impl Strategy<Value = Case> {
    let well_formed = prop::collection::vec(any_sent(), 0..4).prop_map(|mut sent| {
        sent.extend([Sent::Stop, Sent::Metadata]);
        sent
    });
    let sent = prop_oneof![prop::collection::vec(any_sent(), 0..8), well_formed];
    let damaged = prop::option::weighted(0.2, any::<prop::sample::Index>());
    let last = prop::sample::select(vec![Last::End, Last::Cut, Last::Stall]);
    (sent, any::<prop::sample::Index>(), any::<bool>(), damaged, last, 1..400_usize)
        .prop_map(|(sent, arrive, whole, damaged, last, piece)| Case { sent, arrive, whole, damaged, last, piece })
}

/// How an answer ends, and how many of its events come out before that.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: usize,
    ended: Result<(), Reason>,
}

/// The outcome by the rules of the contract, frame by frame.
fn expected(case: &Case, bytes: &[Vec<u8>], arrived: usize, damaged: Option<usize>) -> Outcome {
    let (mut events, mut stopped, mut metadata, mut message, mut begin) = (0, false, false, false, 0);
    let of = |events, ended| Outcome { events, ended };
    for (sent, bytes) in case.sent.iter().zip(bytes) {
        let (end, damage) = (begin + bytes.len(), damaged.and_then(|at| at.checked_sub(begin)));
        // The checksum of the first twelve bytes is checked as soon as they are there, that of the others at the end.
        let noticed = damage.is_some_and(|at| at < 12 && arrived >= begin + 12 || at < bytes.len() && arrived >= end);
        if noticed && damage.is_some_and(|at| at < bytes.len()) {
            return of(events, Err(Reason::UpstreamCorrupt));
        }
        if arrived < end {
            break;
        }
        begin = end;
        match sent {
            Sent::Exception => return of(events, Err(Reason::BedrockThrottled)),
            Sent::Error => return of(events, Err(Reason::BedrockUnknown)),
            Sent::NoJson => return of(events, Err(Reason::UpstreamCorrupt)),
            Sent::Stop if !stopped => stopped = true,
            Sent::Metadata if !metadata => metadata = true,
            Sent::MessageStart if !message => message = true,
            // Also an event that may come only once, when it comes again.
            _ => {
                events += 1;
                message = true;
            }
        }
    }
    let ended = match case.last {
        _ if stopped => Ok(()),
        Last::Stall => Err(Reason::IdleTimeout),
        Last::End | Last::Cut => Err(Reason::UpstreamTruncated),
    };
    of(events, ended)
}

async fn actual(mut reading: ResponseReader) -> Outcome {
    let (mut invariants, mut events) = (Invariants::default(), 0);
    let ended = loop {
        match next(&mut reading).await {
            Ok(None) => break Ok(()),
            Err(reason) => break Err(reason),
            Ok(Some(chunk)) => {
                invariants.see(&chunk);
                events += usize::from(!matches!(chunk.event, Some(Event::Start(_) | Event::Finish(_))));
            }
        }
    };
    assert_eq!(invariants.finished(), ended.is_ok(), "a finish and OK go together");
    Outcome { events, ended }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_ends_as_its_bytes_say(case in any_case()) {
        let frames: Vec<_> = case.sent.iter().map(|sent| sent.bytes()).collect();
        let mut bytes = frames.concat();
        let arrived = if case.whole { bytes.len() } else { case.arrive.index(bytes.len() + 1) };
        let damaged = case.damaged.filter(|_| !bytes.is_empty()).map(|at| at.index(bytes.len()));
        if let Some(at) = damaged {
            bytes[at] ^= 0x10;
        }
        let pieces = bytes[..arrived].chunks(case.piece).map(Bytes::copy_from_slice);
        let body = SdkBody::from_body_1_x(Pieces::of(pieces).ending(case.last));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let outcome = runtime.block_on(async {
            actual(ResponseReader::new(Upstream::of_body(body), "id", AttemptLog::default(), Duration::from_mins(5))).await
        });
        prop_assert_eq!(outcome, expected(&case, &frames, arrived, damaged));
    }
}
