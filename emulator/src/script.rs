//! A script: a value that describes an answer of the emulator, its pace and its fault.
//!
//! Scripts are built in, or come from JSON files, recordings and tests, which `build` is for. [Playback](crate::playback) turns them into
//! bytes and pauses.

mod build;
mod pace;

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

pub(crate) use self::pace::mixed;
pub use self::pace::{Pace, PaceError};

/// The answer of the emulator to a request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// An HTTP error instead of a stream.
    pub refuse: Option<Refusal>,
    /// Further headers of the HTTP response.
    pub headers: BTreeMap<String, String>,
    /// The pauses before frames.
    pub pace: Pace,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The fault, if any.
    pub fault: Option<Fault>,
    /// How the bytes are split into transport chunks.
    pub delivery: Delivery,
    /// The script that is used instead if the request ends with the result of a tool.
    pub on_tool_result: Option<Box<Script>>,
    /// Leave out Bedrock's padding member `p`, which Bedrock adds to every event.
    pub no_padding: bool,
}

/// An HTTP error instead of a stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status, such as 429.
    pub status: u16,
    /// The exception in `x-amzn-errortype`. Without it there is no such header.
    #[serde(default)]
    pub exception: Option<String>,
    /// The body. By default `{"message": …}`.
    #[serde(default)]
    pub body: Option<String>,
    /// The message of the body.
    #[serde(default)]
    pub message: String,
}

impl From<Refusal> for Box<Script> {
    fn from(refusal: Refusal) -> Self {
        Self::new(Script { refuse: Some(refusal), ..Script::default() })
    }
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// An event frame with a JSON payload.
    Event {
        /// `:event-type`.
        #[serde(rename = "type")]
        event_type: String,
        /// The payload, without padding.
        payload: Value,
    },
    /// An event frame of InvokeModelWithResponseStream: the inner JSON of one `chunk`.
    Chunk(Value),
    /// An exception frame, which Bedrock sends in the middle of a stream.
    Exception {
        /// `:exception-type`, such as `throttlingException`.
        #[serde(rename = "type")]
        exception_type: String,
        /// Its `message`.
        message: String,
    },
    /// A frame with `:message-type: error`.
    Error {
        /// `:error-code`.
        code: String,
        /// `:error-message`.
        message: String,
    },
    /// A complete answer: message start, one delta for each word, stops and metadata.
    Reply(String),
    /// A text delta of block 0: the time at which it is sent, in nanoseconds since the Unix epoch and in 19 digits, and then this text.
    Stamped(String),
    /// Raw bytes: recorded frames or garbage.
    #[serde(deserialize_with = "base64_bytes")]
    Bytes(Vec<u8>),
    /// A pause in milliseconds.
    WaitMs(u64),
    /// Repeated steps.
    Repeat {
        /// The number of repetitions.
        times: usize,
        /// The steps.
        steps: Vec<Step>,
    },
}

/// A fault and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The position.
    pub at: At,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The HTTP body ends cleanly at the position.
    End,
    /// The connection closes in the middle of the HTTP body. Over HTTP/2 the stream is reset.
    Cut,
    /// The TCP connection is reset. Over HTTP/2 the stream is reset.
    Reset,
    /// An HTTP/2 RST_STREAM frame with this error code ends the stream there. Over HTTP/1.1 the connection closes.
    ResetStream(u32),
    /// The whole connection closes there, with all its streams and without a word.
    Disconnect,
    /// Over HTTP/2 a GOAWAY frame is sent there. The stream itself runs on.
    GoAway,
    /// Nothing comes any more, and nothing closes.
    Stall,
    /// The last byte of the frame, or the byte, is flipped, so that a checksum fails.
    Corrupt,
    /// A frame declares a length of 64 MiB.
    Oversized,
    /// A frame declares a length of 8 bytes.
    Undersized,
}

impl FaultKind {
    /// Whether nothing of the answer follows this fault.
    pub(crate) fn ends_answer(self) -> bool {
        !matches!(self, Self::Corrupt | Self::GoAway)
    }
}

/// The position of a fault: before a frame or before a byte of the body, both counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Before this frame. For [`FaultKind::Corrupt`]: in it.
    Event(usize),
    /// Before this byte. For [`FaultKind::Corrupt`]: in it.
    Byte(usize),
}

/// How the bytes are split into transport chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// One chunk for each frame.
    #[default]
    Frames,
    /// One chunk for each byte.
    EveryByte,
    /// One chunk for everything, or of 1 MiB each if there is more.
    Joined,
    /// Chunks of these lengths, of at most 1 MiB each, and the rest as [`Delivery::Joined`].
    Lengths(Vec<usize>),
}

impl Script {
    /// Parses a script file: a script, or an array of scripts for consecutive requests.
    ///
    /// # Errors
    /// If the text is not JSON or not a script, or the position of a fault is invalid. The error has the line.
    pub fn sequence_from_json(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        let scripts: Vec<Self> = if text.trim_start().starts_with('[') {
            serde_json::from_str(text)?
        } else {
            vec![serde_json::from_str(text)?]
        };
        if scripts.is_empty() {
            return Err(serde_json::Error::custom("an array of scripts must not be empty"));
        }
        if let Some(error) = scripts.iter().find_map(|script| script.pace.check().err()) {
            return Err(serde_json::Error::custom(error));
        }
        let placed_by_byte = |script: &Self| {
            let fault = script.fault.map(|fault| (fault.kind, fault.at));
            matches!(fault, Some((FaultKind::Oversized | FaultKind::Undersized, At::Byte(_))))
        };
        if scripts.iter().any(placed_by_byte) {
            return Err(serde_json::Error::custom(
                "the position of an oversized or undersized frame must be an event, not a byte",
            ));
        }
        Ok(scripts)
    }
}

fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_file_says_everything_a_script_can() {
        let scripts = Script::sequence_from_json(
            r#"{"pace": {"first_ms": 5, "gap_ms": 1}, "headers": {"x-amzn-requestid": "r"},
                "steps": [{"event": {"type": "messageStart", "payload": {"role": "assistant"}}}, {"wait_ms": 3},
                          {"bytes": "AAE="}, {"repeat": {"times": 2, "steps": [{"reply": "hi"}]}},
                          {"exception": {"type": "throttlingException", "message": "slow down"}}],
                "fault": {"kind": "corrupt", "at": {"byte": 7}}, "delivery": {"lengths": [1, 2]}, "no_padding": true}"#,
        )
        .unwrap();
        let [script] = &scripts[..] else { panic!("one script") };
        assert_eq!(script.steps[2], Step::Bytes(vec![0, 1]));
        assert_eq!(script.fault, Some(Fault { kind: FaultKind::Corrupt, at: At::Byte(7) }));
        assert_eq!(script.delivery, Delivery::Lengths(vec![1, 2]));
    }

    #[test]
    fn a_wrong_script_file_is_refused_with_the_reason() {
        let error = Script::sequence_from_json(r#"{"steps": [], "delay": 5}"#).unwrap_err().to_string();
        assert!(error.contains("delay") && error.contains("pace"), "{error}");
        assert!(Script::sequence_from_json("[]").is_err());
        let tail = r#"{"pace": {"gap_ms": 20, "gap_p99_ms": 10}}"#;
        assert!(
            Script::sequence_from_json(tail).unwrap_err().to_string().contains("gap_p99_ms is 10, below gap_ms (20)")
        );
        let misplaced = r#"{"fault": {"kind": "oversized", "at": {"byte": 1}}}"#;
        assert!(Script::sequence_from_json(misplaced).unwrap_err().to_string().contains("must be an event"));
    }
}
