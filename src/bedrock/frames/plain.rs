//! Recognises events as Bedrock writes them, without the decoder of the SDK and without an allocation. Their checksums are checked as those of
//! all frames.
//!
//! Such an event has headers that are text, of which one each is the kind and the type. A frame that has anything else is for the decoder.

use crc32fast::Hasher;

use super::{PRELUDE, SHORTEST};
use crate::error::{Error, corrupt};

/// The checksum at the end of a frame.
const CHECKSUM: usize = 4;

/// The type of a header that is text.
const TEXT: u8 = 7;

/// The beginning of a frame, with the lengths that it declares.
pub(super) struct Prelude {
    /// The length of the frame, in bytes.
    pub(super) total: usize,
    headers: usize,
    /// Of the bytes before the checksum of the prelude.
    hasher: Hasher,
}

/// Frames at the beginning of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Their length together, in bytes.
    pub(super) bytes: usize,
    pub(super) frames: u32,
}

impl Prelude {
    /// The prelude at the beginning of a buffer. `None` if it has not arrived completely.
    ///
    /// # Errors
    /// `UPSTREAM_CORRUPT` if it is damaged, or declares a frame that is too short or longer than `longest`.
    pub(super) fn read(buffer: &[u8], longest: usize) -> Result<Option<Self>, Error> {
        let Some(prelude) = buffer.first_chunk::<PRELUDE>() else { return Ok(None) };
        let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
        let mut hasher = Hasher::new();
        hasher.update(lengths);
        if hasher.clone().finalize().to_be_bytes() != checksum {
            return Err(corrupt("the checksum of a frame's prelude does not match"));
        }
        let length = |at: usize| lengths[at..].first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let (total, headers) = (length(0), length(4));
        if !(SHORTEST..=longest).contains(&total) {
            return Err(corrupt(format!("a frame declares {total} bytes; {SHORTEST} to {longest} are accepted")));
        }
        Ok(Some(Self { total, headers, hasher }))
    }

    /// The type and the payload of a frame with this prelude, which begins the buffer. `None` if it is not complete and undamaged, or no event
    /// with headers that are text.
    pub(super) fn event(mut self, buffer: &[u8]) -> Option<(&[u8], &[u8])> {
        let (frame, checksum) = buffer.get(..self.total)?.split_last_chunk::<CHECKSUM>()?;
        let (headers, payload) = frame.get(PRELUDE..)?.split_at_checked(self.headers)?;
        let event_type = event_type(headers)?;
        self.hasher.update(&frame[PRELUDE - CHECKSUM..]);
        (self.hasher.finalize().to_be_bytes() == *checksum).then_some((event_type, payload))
    }
}

impl Run {
    /// The events of these types at the beginning of a buffer, up to the first frame that is incomplete, damaged or something else.
    pub(super) fn at_start_of(buffer: &[u8], types: &[&str], longest: usize) -> Self {
        let mut run = Self::default();
        if types.is_empty() {
            return run;
        }
        while let Some(rest) = buffer.get(run.bytes..)
            && let Ok(Some(prelude)) = Prelude::read(rest, longest)
        {
            let total = prelude.total;
            let is_wanted = |(event_type, _)| types.iter().any(|wanted| wanted.as_bytes() == event_type);
            if !prelude.event(rest).is_some_and(is_wanted) {
                break;
            }
            run.bytes += total;
            run.frames += 1;
        }
        run
    }
}

/// The type of an event. `None` if the headers are not those of an event, or not all of them are text.
fn event_type(mut headers: &[u8]) -> Option<&[u8]> {
    let (mut is_event, mut event_type) = (false, None);
    while let Some((&length, rest)) = headers.split_first() {
        let (name, rest) = rest.split_at_checked(length.into())?;
        let (&[kind, high, low], rest) = rest.split_first_chunk::<3>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        headers = rest;
        match name {
            _ if kind != TEXT || !name.is_ascii() || !value.is_ascii() => return None,
            b":message-type" if value == b"event" && !is_event => is_event = true,
            b":event-type" if event_type.is_none() => event_type = Some(value),
            b":message-type" | b":event-type" => return None,
            _ => {}
        }
    }
    event_type.filter(|_| is_event)
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

    use super::{super::paced::frame, *};

    const TYPES: &[&str] = &["a", "b"];

    fn run(frames: &[&[u8]]) -> Run {
        Run::at_start_of(&frames.concat(), TYPES, 1 << 20)
    }

    fn event(event_type: &'static str) -> Vec<u8> {
        frame(&[(":message-type", "event"), (":event-type", event_type), (":content-type", "application/json")], "{}")
            .into()
    }

    #[test]
    fn a_run_has_the_events_of_its_types_up_to_anything_else() {
        let (a, b) = (event("a"), event("b"));
        let exception = frame(&[(":message-type", "exception"), (":exception-type", "a")], "{}");
        for other in [&event("c")[..], &exception, &a[..a.len() - 1], &[0; 12], &[]] {
            let expected = Run { bytes: a.len() + b.len(), frames: 2 };
            assert_eq!(run(&[&a, &b, other]), expected);
            assert_eq!(run(&[other, &a]), if other.is_empty() { run(&[&a]) } else { Run::default() });
        }
        assert_eq!(Run::at_start_of(&a, &[], 1 << 20), Run::default());
        assert_eq!(Run::at_start_of(&a, TYPES, a.len() - 1), Run::default());
    }

    #[test]
    fn a_damaged_event_is_in_no_run() {
        let (first, whole) = (event("a"), event("b"));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(run(&[&first, &damaged]), Run { bytes: first.len(), frames: 1 }, "byte {at}");
        }
    }

    #[test]
    fn headers_in_another_order_are_recognised_and_unusual_ones_are_for_the_decoder() {
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let usual = [(":event-type", text("a")), (":message-type", text("event"))];
        for (unusual, frames) in [
            (("x", text("more")), 1),
            (("x", HeaderValue::Bool(true)), 0),
            (("x", text("ä")), 0),
            ((":event-type", text("c")), 0),
            ((":message-type", text("exception")), 0),
        ] {
            let headers = usual.clone().into_iter().chain([unusual]).map(|(name, value)| Header::new(name, value));
            let mut bytes = Vec::new();
            write_message_to(&Message::new_from_parts(headers.collect(), "{}"), &mut bytes).unwrap();
            assert_eq!(run(&[&bytes]).frames, frames);
        }
    }
}
