//! How the bytes of an answer are split into transport chunks: the last stage of [`crate::playback`].

use std::iter;

use bytes::{Bytes, BytesMut};

use crate::{
    playback::{Action, Actions},
    script::Delivery,
};

/// The longest chunk, in bytes, that frames are joined to. A script can repeat its steps without end, so "all in one
/// chunk" needs a bound.
const LONGEST: usize = 1 << 20;

/// Splits the bytes into transport chunks.
pub(crate) fn delivered(actions: Actions, delivery: Delivery) -> Actions {
    match delivery {
        Delivery::Frames => actions,
        Delivery::EveryByte => Box::new(actions.flat_map(|action| match action {
            Action::Send(bytes) => (0..bytes.len()).map(|at| Action::Send(bytes.slice(at..=at))).collect(),
            other => vec![other],
        })),
        Delivery::Joined => rejoined(actions, Vec::new()),
        Delivery::Lengths(lengths) => rejoined(actions, lengths),
    }
}

/// Chunks of these lengths and then of [`LONGEST`], without pauses. A fault that ends the stream stays at the end.
fn rejoined(actions: Actions, lengths: Vec<usize>) -> Actions {
    let mut actions = actions.filter(|action| !matches!(action, Action::Wait(_) | Action::GoAway));
    let mut lengths = lengths.into_iter().filter(|length| *length > 0).chain(iter::repeat(LONGEST));
    let (mut collected, mut ending, mut over) = (BytesMut::new(), None, false);
    Box::new(iter::from_fn(move || {
        let wanted = lengths.next().unwrap_or(LONGEST).min(LONGEST);
        while !over && collected.len() < wanted {
            match actions.next() {
                Some(Action::Send(bytes)) => collected.extend_from_slice(&bytes),
                last => (ending, over) = (last, true),
            }
        }
        let chunk: Bytes = collected.split_to(collected.len().min(wanted)).freeze();
        if chunk.is_empty() { ending.take() } else { Some(Action::Send(chunk)) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(lengths: impl IntoIterator<Item = usize>) -> Vec<Action> {
        lengths.into_iter().map(|length| Action::Send(vec![b'x'; length].into())).collect()
    }

    fn all(actions: Vec<Action>, delivery: Delivery) -> Vec<Action> {
        delivered(Box::new(actions.into_iter()), delivery).collect()
    }

    #[test]
    fn joined_bytes_stand_before_the_ending_fault() {
        let broken: Vec<_> = sends([2, 3]).into_iter().chain([Action::Reset]).collect();
        assert_eq!(all(broken.clone(), Delivery::Joined), [&sends([5])[..], &[Action::Reset]].concat());
        assert_eq!(all(broken, Delivery::Lengths(vec![1, 3])), [&sends([1, 3, 1])[..], &[Action::Reset]].concat());
    }

    #[test]
    fn frames_without_end_are_joined_to_the_longest_chunk() {
        let endless = || Box::new(iter::repeat(Action::Send(Bytes::from_static(&[0; 1_000]))));
        for delivery in [Delivery::Joined, Delivery::Lengths(vec![usize::MAX])] {
            let first = delivered(endless(), delivery).next();
            assert!(matches!(first, Some(Action::Send(bytes)) if bytes.len() == LONGEST));
        }
    }
}
