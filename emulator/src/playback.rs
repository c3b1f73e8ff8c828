//! Turns a script into bytes, pauses and, if the script has one, a fault.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use crate::{
    delivery::delivered,
    frame, reply,
    script::{At, Delivery, Fault, FaultKind, Script, Step},
};

/// An action on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// These bytes are sent, in one transport chunk.
    Send(Bytes),
    /// Nothing happens for this long.
    Wait(Duration),
    /// The connection closes in the middle of the body.
    Cut,
    /// The connection is reset.
    Reset,
    /// The stream is reset with this code of HTTP/2.
    ResetStream(u32),
    /// The connection is gone.
    Disconnect,
    /// The connection takes no new streams.
    GoAway,
    /// Nothing happens any more.
    Stall,
}

/// The remaining actions.
pub(crate) type Actions = Box<dyn Iterator<Item = Action> + Send>;

/// The actions of a script. Without an ending fault as the last one, the body ends cleanly.
pub(crate) fn actions(script: &Script) -> Actions {
    actions_of(script, |step| [step])
}

/// The actions of a script whose steps are translated first. Positions are those of the translated steps.
pub(crate) fn actions_of<S>(script: &Script, translate: impl FnMut(Step) -> S + Send + 'static) -> Actions
where
    S: IntoIterator<Item = Step, IntoIter: Send> + 'static,
{
    let padding = !script.no_padding;
    let pace = script.pace;
    // Chunks of other bounds than those of the frames have no pauses between them.
    let paused = matches!(script.delivery, Delivery::Frames | Delivery::EveryByte);
    let steps = pruned(&script.steps, &|step| paused || !matches!(step, Step::WaitMs(_)));
    let frames = expand(steps).flat_map(translate).enumerate().flat_map(move |(at, step)| match step {
        Step::WaitMs(wait) => [Some(Action::Wait(Duration::from_millis(wait))), None],
        step => {
            let wait = pace.before(at);
            [(!wait.is_zero()).then_some(Action::Wait(wait)), Some(Action::Send(encode(&step, padding.then_some(at))))]
        }
    });
    let faulty = match script.fault {
        Some(fault) => with_fault(Box::new(frames.flatten()), fault),
        None => Box::new(frames.flatten()),
    };
    delivered(faulty, script.delivery.clone())
}

/// The steps that are wanted. A repetition of nothing is left out, because to repeat it 2^64 times would not end.
pub(crate) fn pruned(steps: &[Step], wanted: &impl Fn(&Step) -> bool) -> Vec<Step> {
    let prune = |step: &Step| match step {
        Step::Repeat { times, steps } => {
            let steps = pruned(steps, wanted);
            (*times > 0 && !steps.is_empty()).then_some(Step::Repeat { times: *times, steps })
        }
        Step::Bytes(bytes) if bytes.is_empty() => None,
        single => wanted(single).then(|| single.clone()),
    };
    steps.iter().filter_map(prune).collect()
}

/// Expands replies and repetitions into steps, lazily.
pub(crate) fn expand(steps: Vec<Step>) -> Box<dyn Iterator<Item = Step> + Send> {
    Box::new(steps.into_iter().flat_map(|step| -> Box<dyn Iterator<Item = Step> + Send> {
        match step {
            Step::Reply(text) => Box::new(reply::steps(&text, 0).into_iter()),
            Step::Stamped(text) => Box::new(std::iter::once_with(move || stamped(&text))),
            Step::Repeat { times, steps } => Box::new((0..times).flat_map(move |_| expand(steps.clone()))),
            Step::Bytes(bytes) => Box::new(frame::split(bytes.into()).into_iter().map(|one| Step::Bytes(one.into()))),
            single => Box::new(std::iter::once(single)),
        }
    }))
}

pub(crate) fn encode(step: &Step, pad: Option<usize>) -> Bytes {
    match step {
        Step::Event { event_type, payload } => frame::event(event_type, payload, pad),
        Step::Chunk(inner) => frame::chunk(inner, pad),
        Step::Exception { exception_type, message } => frame::exception(exception_type, message),
        Step::Error { code, message } => frame::error(code, message),
        Step::Bytes(bytes) => bytes.clone().into(),
        // `expand` has replaced these, or they have no bytes.
        Step::Reply(_) | Step::Stamped(_) | Step::Repeat { .. } | Step::WaitMs(_) => Bytes::new(),
    }
}

/// A text delta with the time.
fn stamped(text: &str) -> Step {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Step::text(&format!("{:019}{text}", since_epoch.as_nanos()))
}

/// Inserts the fault. Actions after a fault that ends the stream are not reached.
pub(crate) fn with_fault(actions: Actions, fault: Fault) -> Actions {
    let (mut frame, mut byte, mut over) = (0, 0, false);
    Box::new(actions.flat_map(move |action| {
        let Action::Send(bytes) = action else { return if over { vec![] } else { vec![action] } };
        let (first_byte, this_frame) = (byte, frame);
        byte += bytes.len();
        frame += 1;
        let cut = match fault.at {
            _ if over => return vec![],
            At::Event(event) if event == this_frame => 0,
            At::Byte(at) if (first_byte..byte).contains(&at) => at - first_byte,
            _ => return vec![Action::Send(bytes)],
        };
        let mut out = Vec::new();
        if cut > 0 && fault.kind != FaultKind::Corrupt {
            out.push(Action::Send(bytes.slice(..cut)));
        }
        over = fault.kind.ends_answer();
        match fault.kind {
            FaultKind::End => {}
            FaultKind::Cut => out.push(Action::Cut),
            FaultKind::Reset => out.push(Action::Reset),
            FaultKind::ResetStream(code) => out.push(Action::ResetStream(code)),
            FaultKind::Disconnect => out.push(Action::Disconnect),
            FaultKind::GoAway => out.extend([Action::GoAway, Action::Send(bytes.slice(cut..))]),
            FaultKind::Stall => out.push(Action::Stall),
            FaultKind::Oversized => out.extend([Action::Send(frame::declaring(64 << 20)), Action::Stall]),
            FaultKind::Undersized => out.extend([Action::Send(frame::declaring(8)), Action::Stall]),
            FaultKind::Corrupt => {
                let mut damaged = BytesMut::from(&bytes[..]);
                let at = if matches!(fault.at, At::Event(_)) { damaged.len() - 1 } else { cut };
                damaged[at] ^= 0xFF;
                out.push(Action::Send(damaged.freeze()));
            }
        }
        out
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(script: &Script) -> Vec<u8> {
        actions(script)
            .filter_map(|action| if let Action::Send(bytes) = action { Some(bytes) } else { None })
            .flatten()
            .collect()
    }

    #[test]
    fn delivery_changes_the_chunks_and_not_the_bytes() {
        let script = Script::reply("one two three");
        let whole = bytes(&script);
        for delivery in [Delivery::EveryByte, Delivery::Joined, Delivery::Lengths(vec![3, 500, 0, 9])] {
            assert_eq!(bytes(&script.clone().delivery(delivery)), whole);
        }
        let every_byte = actions(&script.delivery(Delivery::EveryByte));
        assert_eq!(every_byte.count(), whole.len());
    }

    #[test]
    fn an_ending_fault_is_the_last_action() {
        let script = Script::reply("one two three").fault(FaultKind::Reset, At::Event(2));
        let all: Vec<_> = actions(&script).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[2], Action::Reset);
        let script = Script::reply("one two three").fault(FaultKind::End, At::Byte(10));
        assert_eq!(bytes(&script).len(), 10);
    }

    #[test]
    fn a_corrupt_frame_differs_in_one_byte() {
        let script = Script::reply("one two three");
        let (right, wrong) = (bytes(&script), bytes(&script.fault(FaultKind::Corrupt, At::Event(1))));
        assert_eq!(right.iter().zip(&wrong).filter(|(a, b)| a != b).count(), 1);
    }

    #[test]
    fn a_repetition_is_not_written_out_in_advance() {
        let script = Script::of([Step::Repeat { times: usize::MAX, steps: vec![Step::text("x")] }]);
        assert_eq!(actions(&script).take(3).count(), 3);
    }

    #[test]
    fn a_stamp_has_the_time_at_which_its_frame_is_sent() {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let script =
            Script::of([Step::Repeat { times: 2, steps: vec![Step::WaitMs(1), Step::Stamped(" one".into())] }]);
        let mut sent = actions(&script).filter(|action| matches!(action, Action::Send(_)));
        let mut earliest = now();
        for _ in 0..2 {
            let Some(Action::Send(bytes)) = sent.next() else { panic!("a frame") };
            let latest = now();
            let Some(Step::Event { payload, .. }) = frame::decode(bytes) else { panic!("an event") };
            let (stamp, text) = payload["delta"]["text"].as_str().unwrap().split_at(19);
            assert!((earliest..=latest).contains(&stamp.parse().unwrap()));
            assert_eq!(text, " one");
            earliest = latest;
        }
    }

    #[test]
    fn a_repetition_of_nothing_ends() {
        let times = usize::MAX;
        let nothing = Step::Repeat { times, steps: vec![Step::Repeat { times: 0, steps: vec![Step::text("x")] }] };
        let pauses = Step::Repeat { times, steps: vec![Step::WaitMs(1)] };
        let empty = Step::Repeat { times, steps: vec![Step::Bytes(vec![])] };
        assert_eq!(actions(&Script::of([nothing.clone(), empty.clone()])).count(), 0);
        assert_eq!(actions(&Script::of([nothing, pauses, empty]).delivery(Delivery::Joined)).count(), 0);
    }
}
