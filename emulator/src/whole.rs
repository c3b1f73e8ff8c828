//! The answers of the operations that do not stream, from the same scripts: one body after the time that the stream takes, with the fault at
//! the same share of its length, or the HTTP error that an exception of the stream is.

use std::{iter, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    delivery::delivered,
    fold::Event,
    frame,
    playback::{Action, Actions, encode, expand, pruned, with_fault},
    script::{At, Delivery, Fault, FaultKind, Refusal, Script, Step},
};

/// The most steps of an answer, because a script can repeat steps without end.
const MOST: usize = 100_000;

/// The length in bytes that an undersized body declares, as an undersized frame does.
const UNDERSIZED: usize = 8;

/// The length in bytes that an oversized body declares, as an oversized frame does.
const OVERSIZED: usize = 64 << 20;

/// A script without its division into frames.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// The events before the end or the exception.
    pub(crate) events: Vec<Event>,
    /// The pauses before the end, the exception or the fault.
    pub(crate) time: Duration,
    /// The error in place of the answer.
    pub(crate) refusal: Option<Refusal>,
    /// The fault of the body, if the stream reaches it.
    fault: Option<Share>,
}

/// A fault after `at` of `of` equal parts of the body.
#[derive(Clone, Copy, Debug)]
struct Share {
    kind: FaultKind,
    at: usize,
    of: usize,
}

/// The steps of a script, up to [`MOST`].
fn steps(script: &Script) -> impl Iterator<Item = Step> {
    expand(pruned(&script.steps, &|_| true)).take(MOST)
}

/// The usage that the last metadata of a script has. The other events are not kept.
pub(crate) fn usage(script: &Script) -> Value {
    let metadata = steps(script).filter_map(|step| match step {
        Step::Event { event_type, payload } if event_type == "metadata" => Some(payload["usage"].clone()),
        _ => None,
    });
    metadata.last().unwrap_or_default()
}

/// Reads a script to its end.
pub(crate) fn tell(script: &Script) -> Telling {
    let mut telling = Telling::default();
    let is_paused = matches!(script.delivery, Delivery::Frames | Delivery::EveryByte);
    let (mut frames, mut bytes) = (0, 0);
    for (at, step) in steps(script).enumerate() {
        let is_over = telling.fault.is_some_and(|fault| fault.kind.ends_answer());
        let pause = match step {
            Step::WaitMs(wait) => Duration::from_millis(wait),
            _ => script.pace.before(at),
        };
        if is_paused && !is_over {
            telling.time = telling.time.saturating_add(pause);
        }
        if matches!(step, Step::WaitMs(_)) {
            continue;
        }
        let length = match script.fault {
            Some(Fault { at: At::Byte(_), .. }) => encode(&step, (!script.no_padding).then_some(at)).len(),
            _ => 0,
        };
        if let Some(Fault { kind, at }) = script.fault {
            let reached = match at {
                At::Event(event) => (event == frames).then_some(event),
                At::Byte(byte) => (bytes..bytes + length).contains(&byte).then_some(byte),
            };
            telling.fault = reached.map(|at| Share { kind, at, of: 1 }).or(telling.fault);
        }
        (frames, bytes) = (frames + 1, bytes + length);
        if !telling.add(step) {
            break;
        }
    }
    if let Some(fault) = &mut telling.fault {
        fault.of = if matches!(script.fault, Some(Fault { at: At::Byte(_), .. })) { bytes } else { frames };
    }
    telling
}

impl Telling {
    /// Adds a step. Returns whether the stream goes on after it.
    fn add(&mut self, step: Step) -> bool {
        let refusal = match step {
            Step::Event { event_type, payload } => {
                self.events.push((event_type, payload));
                return true;
            }
            Step::Chunk(inner) => {
                self.events.push(("chunk".to_owned(), inner));
                return true;
            }
            Step::Bytes(bytes) => match frame::decode(bytes.into()) {
                Some(step) => return self.add(step),
                None => return true,
            },
            Step::Exception { exception_type, message } => error_of(&exception_type, message),
            Step::Error { code, message } => error_of(&code, message),
            // `expand` has replaced these, or they have no content.
            Step::Reply(_) | Step::Stamped(_) | Step::Repeat { .. } | Step::WaitMs(_) => return true,
        };
        // A fault before the exception hides it.
        if !self.fault.is_some_and(|fault| fault.kind.ends_answer()) {
            self.refusal = Some(refusal);
            self.fault = None;
        }
        false
    }

    /// Whether the answer has a fault.
    pub(crate) fn is_faulty(&self) -> bool {
        self.fault.is_some()
    }

    /// The length that the answer declares, and how this body is sent.
    pub(crate) fn send(&self, body: Bytes, delivery: Delivery) -> (usize, Actions) {
        let length = body.len();
        let (declared, actions): (usize, Actions) = match self.fault {
            None => (length, Box::new(iter::once(Action::Send(body)))),
            Some(Share { kind: FaultKind::Oversized, .. }) => {
                (OVERSIZED, Box::new([Action::Send(body), Action::Stall].into_iter()))
            }
            Some(Share { kind: FaultKind::Undersized, .. }) => {
                let start = body.slice(..UNDERSIZED.min(length));
                (start.len(), Box::new(iter::once(Action::Send(start))))
            }
            Some(Share { kind, at, of }) => {
                let byte = length.saturating_mul(at) / of.max(1);
                let sent = Box::new(iter::once(Action::Send(body)));
                (length, with_fault(sent, Fault { kind, at: At::Byte(byte) }))
            }
        };
        (declared, delivered(actions, delivery))
    }
}

/// The HTTP error that an exception of a stream is where there is no stream.
fn error_of(exception_type: &str, message: String) -> Refusal {
    let (status, name) = match exception_type {
        "throttlingException" => (429, "ThrottlingException"),
        "modelNotReadyException" => (429, "ModelNotReadyException"),
        "validationException" => (400, "ValidationException"),
        "serviceQuotaExceededException" => (400, "ServiceQuotaExceededException"),
        "accessDeniedException" => (403, "AccessDeniedException"),
        "resourceNotFoundException" => (404, "ResourceNotFoundException"),
        "modelTimeoutException" => (408, "ModelTimeoutException"),
        // Operations that do not stream have this exception in place of that of streams.
        "modelErrorException" | "modelStreamErrorException" => (424, "ModelErrorException"),
        "serviceUnavailableException" => (503, "ServiceUnavailableException"),
        "internalServerException" => (500, "InternalServerException"),
        other => (500, other),
    };
    Refusal { status, exception: Some(name.to_owned()), body: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(script: &Script) -> (usize, Vec<Action>) {
        let (declared, actions) = tell(script).send(Bytes::from_static(b"0123456789abcdefghij"), Delivery::Frames);
        (declared, actions.collect())
    }

    fn four() -> Script {
        Script::of(["a", "b", "c", "d"].map(Step::text))
    }

    #[test]
    fn steps_without_end_give_a_bounded_answer() {
        let endless = |steps| Script::of([Step::Repeat { times: usize::MAX, steps }]);
        assert_eq!(tell(&endless(vec![Step::text("x")])).events.len(), MOST);
        assert_eq!(tell(&endless(vec![Step::WaitMs(0), Step::Bytes(vec![1])])).events.len(), 0);
        assert_eq!(tell(&endless(vec![Step::WaitMs(u64::MAX)])).events.len(), 0);
    }

    #[test]
    fn a_fault_is_at_the_same_share_of_the_body() {
        let half = Action::Send(Bytes::from_static(b"0123456789"));
        for (kind, ending) in [
            (FaultKind::End, vec![]),
            (FaultKind::Cut, vec![Action::Cut]),
            (FaultKind::Reset, vec![Action::Reset]),
            (FaultKind::ResetStream(8), vec![Action::ResetStream(8)]),
            (FaultKind::Disconnect, vec![Action::Disconnect]),
            (FaultKind::Stall, vec![Action::Stall]),
        ] {
            let expected = [vec![half.clone()], ending].concat();
            assert_eq!(sent(&four().fault(kind, At::Event(2))), (20, expected), "{kind:?}");
        }
        let (_, damaged) = sent(&four().fault(FaultKind::Corrupt, At::Event(2)));
        let [Action::Send(damaged)] = &damaged[..] else { panic!("{damaged:?}") };
        assert_eq!(damaged[10], b'a' ^ 0xFF);
        assert_eq!(sent(&four().fault(FaultKind::Cut, At::Event(0))), (20, vec![Action::Cut]));
    }

    #[test]
    fn a_fault_after_the_end_is_none() {
        for at in [At::Event(4), At::Byte(1 << 20)] {
            let telling = tell(&four().fault(FaultKind::Cut, at));
            assert!(!telling.is_faulty());
        }
        let (declared, all) = sent(&four().fault(FaultKind::Cut, At::Byte(100)));
        assert!(declared == 20 && all.last() == Some(&Action::Cut), "{all:?}");
    }

    #[test]
    fn a_body_of_the_wrong_length_declares_it() {
        let (declared, all) = sent(&four().fault(FaultKind::Oversized, At::Event(1)));
        assert_eq!((declared, all.len(), all.last()), (64 << 20, 2, Some(&Action::Stall)));
        let (declared, all) = sent(&four().fault(FaultKind::Undersized, At::Event(1)));
        assert_eq!((declared, all), (8, vec![Action::Send(Bytes::from_static(b"01234567"))]));
    }

    #[test]
    fn an_exception_is_the_answer_unless_a_fault_comes_first() {
        let script =
            Script::of([Step::text("a"), Step::exception("throttlingException", "slow down"), Step::text("b")]);
        let refusal = tell(&script).refusal.unwrap();
        assert_eq!((refusal.status, refusal.exception.as_deref()), (429, Some("ThrottlingException")));
        assert_eq!(refusal.message, "slow down");
        let cut = tell(&script.clone().fault(FaultKind::Cut, At::Event(0)));
        assert!(cut.refusal.is_none() && cut.is_faulty());
        let late = tell(&script.fault(FaultKind::Cut, At::Event(2)));
        assert!(late.refusal.is_some() && !late.is_faulty());
    }

    #[test]
    fn the_time_is_that_of_the_stream() {
        let mut script = four().pace(100, 10);
        script.steps.push(Step::WaitMs(5));
        assert_eq!(tell(&script).time, Duration::from_millis(135));
        assert_eq!(tell(&script.clone().fault(FaultKind::Stall, At::Event(1))).time, Duration::from_millis(110));
        assert_eq!(tell(&script.delivery(Delivery::Joined)).time, Duration::ZERO);
    }

    #[test]
    fn recorded_frames_are_events() {
        let (one, end) = (
            frame::event("messageStop", &serde_json::json!({"stopReason": "x"}), None),
            frame::exception("throttlingException", "m"),
        );
        let script = Script::of([Step::Bytes([one, end].concat())]);
        let telling = tell(&script);
        assert_eq!(telling.events, [("messageStop".to_owned(), serde_json::json!({"stopReason": "x"}))]);
        assert_eq!(telling.refusal.unwrap().status, 429);
    }
}
