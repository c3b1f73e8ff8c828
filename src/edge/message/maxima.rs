//! Counts what a message will become when it is decoded, from its bytes and the descriptors, without decoding it.
//!
//! An entry without content is two bytes on the wire and more than a hundred in memory. So the number of entries is bounded beside
//! the number of bytes, and what they will take is counted before it is taken.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::shapes::{Field, Holds, Shape, Shapes};
use crate::error::{Error, Reason, Violation};

/// The most entries of these types in one request.
pub(super) const MAXIMA: [(&str, u64); 4] = [
    ("outcrop.v1.Message", 10_000),
    ("outcrop.v1.ContentBlock", 100_000),
    ("outcrop.v1.ToolResultContentBlock", 100_000),
    ("outcrop.v1.Tool", 10_000),
];

/// The most messages of all types in one request. Every value of free JSON is one.
pub(super) const ALL: u64 = 500_000;

/// The deepest message that prost decodes.
const DEPTH: usize = 100;

/// What an allocation takes beyond what is in it, in bytes.
const ALLOCATION: u64 = 32;

/// The entries for which the first entry of a list makes room, and those for which each further one does: lists double.
const FIRST_OF_LIST: u64 = 4;
const NEXT_OF_LIST: u64 = 2;

/// The same for a map. A node of a `BTreeMap` has eleven.
const FIRST_OF_MAP: u64 = 12;

/// Why counting stops.
enum Stop {
    /// The bytes are no message. Decoding stops at the same byte, and says why.
    Malformed,
    /// There are too many entries of this type.
    TooMany { what: String, most: u64, path: Vec<String> },
}

/// What has been counted.
struct Count<'a> {
    shapes: &'a Shapes,
    /// The number of messages by type.
    by_type: Vec<u64>,
    all: u64,
    /// What the decoded message takes, in bytes.
    size: u64,
}

impl Shapes {
    /// Counts the message of a call to this method. Returns what it takes when it is decoded, in bytes: an estimate that is rather too
    /// high.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it has more entries than are allowed. Bytes that are no message are no error here.
    pub(super) fn check(&self, path: &str, message: &[u8]) -> Result<u64, Error> {
        let Some(input) = self.inputs.get(path) else { return Ok(0) };
        let mut count = Count { shapes: self, by_type: vec![0; self.types.len()], all: 0, size: 0 };
        match count.message(*input, message, 0) {
            Ok(()) | Err(Stop::Malformed) => Ok(count.size),
            Err(Stop::TooMany { what, most, mut path }) => {
                path.reverse();
                let field = path.join(".");
                let description =
                    format!("holds too many entries: a request may have at most {most} {what}. Send fewer");
                let message = format!("{field} {description}");
                Err(Error::new(Reason::InvalidRequest, message).with_violations(vec![Violation { field, description }]))
            }
        }
    }
}

impl Count<'_> {
    fn message(&mut self, at: usize, mut bytes: &[u8], depth: usize) -> Result<(), Stop> {
        let shapes = self.shapes;
        let Some(shape) = shapes.types.get(at).filter(|_| depth <= DEPTH) else { return Err(Stop::Malformed) };
        self.entry(at, &shape.name)?;
        self.size += shape.size;
        let mut last = None;
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes).map_err(|_| Stop::Malformed)?;
            let Some(field) = shape.fields.get(&number) else {
                skip_field(wire, number, &mut bytes, DecodeContext::default()).map_err(|_| Stop::Malformed)?;
                continue;
            };
            let continues = last == Some(number);
            last = field.repeated.then_some(number);
            match wire {
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes).map_err(|_| Stop::Malformed)?;
                    let length = usize::try_from(length).map_err(|_| Stop::Malformed)?;
                    let (inner, rest) = bytes.split_at_checked(length).ok_or(Stop::Malformed)?;
                    bytes = rest;
                    self.delimited(field, inner, continues, depth).map_err(|stop| stop.within(shape, field))?;
                }
                _ => {
                    self.size += if field.repeated { FIRST_OF_LIST * 8 } else { 0 };
                    skip_field(wire, number, &mut bytes, DecodeContext::default()).map_err(|_| Stop::Malformed)?;
                }
            }
        }
        Ok(())
    }

    /// A field that has a length. `continues`: whether the field before it was of the same list or map.
    fn delimited(&mut self, field: &Field, inner: &[u8], continues: bool, depth: usize) -> Result<(), Stop> {
        let room = |first| {
            if !field.repeated {
                0
            } else if continues {
                NEXT_OF_LIST
            } else {
                first
            }
        };
        let length = inner.len() as u64;
        match field.holds {
            Holds::Message(at) | Holds::Entry(at) => {
                let first = if matches!(field.holds, Holds::Entry(_)) { FIRST_OF_MAP } else { FIRST_OF_LIST };
                let each = self.shapes.types.get(at).map_or(0, |shape| shape.size);
                // The message itself counts one.
                self.size += each * room(first).saturating_sub(1);
                self.message(at, inner, depth + 1)
            }
            Holds::Text => {
                self.size += length + ALLOCATION + 24 * room(FIRST_OF_LIST);
                Ok(())
            }
            // A packed list: each byte may be an entry.
            Holds::Scalar => {
                self.size += length * 8 * NEXT_OF_LIST;
                Ok(())
            }
        }
    }

    fn entry(&mut self, at: usize, name: &str) -> Result<(), Stop> {
        self.all += 1;
        let of_type = self.by_type.get_mut(at).ok_or(Stop::Malformed)?;
        *of_type += 1;
        let most = MAXIMA.iter().find(|(limited, _)| *limited == name).map(|(_, most)| *most);
        if let Some(most) = most.filter(|most| *of_type > *most) {
            let what = format!("of type {}", name.rsplit('.').next().unwrap_or(name));
            return Err(Stop::TooMany { what, most, path: Vec::new() });
        }
        if self.all > ALL {
            let what = "messages and JSON values".to_owned();
            return Err(Stop::TooMany { what, most: ALL, path: Vec::new() });
        }
        Ok(())
    }
}

impl Stop {
    /// The same, found in this field. The fields of free JSON's own types are left out: a caller wrote JSON.
    fn within(mut self, shape: &Shape, field: &Field) -> Self {
        if let Self::TooMany { path, .. } = &mut self
            && !shape.name.starts_with("google.protobuf.")
        {
            path.push(field.name.clone());
        }
        self
    }
}

#[cfg(test)]
mod tests;
