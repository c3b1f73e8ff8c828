//! A script: the value that says what the emulator answers, how fast, and which fault comes where.
//!
//! Scripts come from the [catalogue](crate::catalogue), from JSON files, from recordings or from a test. The
//! [playback](crate::playback) turns one into bytes and pauses.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

/// What the emulator answers to one request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Refuse the request with an HTTP error instead of streaming.
    pub refuse: Option<Refusal>,
    /// More headers of the HTTP answer.
    pub headers: BTreeMap<String, String>,
    /// How long to wait before each frame.
    pub pace: Pace,
    /// What to send, in order.
    pub steps: Vec<Step>,
    /// The one thing that goes wrong.
    pub fault: Option<Fault>,
    /// How the bytes are cut into transport chunks.
    pub delivery: Delivery,
    /// The answer instead, if the request ends with the result of a tool: what an agent that was given its tool says.
    pub on_tool_result: Option<Box<Script>>,
    /// Leave out Bedrock's padding member `p`, which today's service adds to every event.
    pub no_padding: bool,
}

/// An HTTP error in place of a stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status, such as 429.
    pub status: u16,
    /// The exception named in `x-amzn-errortype`; no such header if absent.
    #[serde(default)]
    pub exception: Option<String>,
    /// The body, word for word. If absent it is `{"message": …}`.
    #[serde(default)]
    pub body: Option<String>,
    /// The message of the body.
    #[serde(default)]
    pub message: String,
}

/// How long to wait before frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Before the first frame, in milliseconds.
    pub first_ms: u64,
    /// Before each further frame, in milliseconds.
    pub gap_ms: u64,
}

impl Pace {
    /// The wait before the frame with this index.
    pub(crate) fn before(self, frame: usize) -> Duration {
        Duration::from_millis(if frame == 0 { self.first_ms } else { self.gap_ms })
    }
}

/// One thing to send.
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
    /// An exception frame, as Bedrock sends one in the middle of a stream.
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
    /// A whole answer: message start, one delta a word, stops and metadata.
    Reply(String),
    /// Bytes as they are: whole recorded frames or garbage.
    #[serde(deserialize_with = "base64_bytes")]
    Bytes(Vec<u8>),
    /// A pause in milliseconds.
    WaitMs(u64),
    /// Steps again and again.
    Repeat {
        /// How often.
        times: usize,
        /// What.
        steps: Vec<Step>,
    },
}

/// What goes wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Where.
    pub at: At,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The HTTP body ends there as if all had been sent.
    End,
    /// The connection closes there in the middle of the HTTP body (over HTTP/2 the stream is reset).
    Cut,
    /// The TCP connection is reset there (over HTTP/2 the stream is reset).
    Reset,
    /// Nothing comes any more, and nothing closes.
    Stall,
    /// The last byte of that frame, or that byte, is flipped, so that a checksum fails.
    Corrupt,
    /// A frame that declares a length of 64 MiB stands there.
    Oversized,
    /// A frame that declares a length of 8 bytes stands there.
    Undersized,
}

/// Where a fault is: before a frame or before a byte of the body, both counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Before this frame (for [`FaultKind::Corrupt`]: in it).
    Event(usize),
    /// Before this byte (for [`FaultKind::Corrupt`]: in it).
    Byte(usize),
}

/// How the bytes are cut into transport chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// One chunk a frame.
    #[default]
    Frames,
    /// One chunk a byte.
    EveryByte,
    /// One chunk for everything.
    Joined,
    /// Chunks of these lengths; what remains comes in one.
    Lengths(Vec<usize>),
}

impl Script {
    /// A whole answer with this text, unpaced.
    pub fn reply(text: impl Into<String>) -> Self {
        Self::of([Step::Reply(text.into())])
    }

    /// These steps, unpaced.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// An HTTP error, as Bedrock forms it.
    pub fn refuse(status: u16, exception: &str, message: &str) -> Self {
        let refusal =
            Refusal { status, exception: Some(exception.to_owned()), body: None, message: message.to_owned() };
        Self { refuse: Some(refusal), ..Self::default() }
    }

    /// The same with a fault.
    #[must_use]
    pub fn fault(mut self, kind: FaultKind, at: At) -> Self {
        self.fault = Some(Fault { kind, at });
        self
    }

    /// The same at another pace, in milliseconds.
    #[must_use]
    pub fn pace(mut self, first_ms: u64, gap_ms: u64) -> Self {
        self.pace = Pace { first_ms, gap_ms };
        self
    }

    /// The same, cut otherwise into transport chunks.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Reads a script file: a script, or an array of them for one request after the other. The error says where the file
    /// is wrong.
    ///
    /// # Errors
    /// If the text is no JSON, or no script, or places a fault where it cannot be.
    pub fn sequence_from_json(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        let scripts: Vec<Self> = if text.trim_start().starts_with('[') {
            serde_json::from_str(text)?
        } else {
            vec![serde_json::from_str(text)?]
        };
        if scripts.is_empty() {
            return Err(serde_json::Error::custom("a sequence of scripts has at least one"));
        }
        let placed_by_byte = |script: &Self| {
            let fault = script.fault.map(|fault| (fault.kind, fault.at));
            matches!(fault, Some((FaultKind::Oversized | FaultKind::Undersized, At::Byte(_))))
        };
        if scripts.iter().any(placed_by_byte) {
            return Err(serde_json::Error::custom("an oversized or undersized frame is placed by event, not by byte"));
        }
        Ok(scripts)
    }
}

impl Step {
    /// An event frame.
    pub fn event(event_type: &str, payload: Value) -> Self {
        Self::Event { event_type: event_type.to_owned(), payload }
    }

    /// `messageStart` by the assistant.
    pub fn message_start() -> Self {
        Self::event("messageStart", json!({"role": "assistant"}))
    }

    /// A `contentBlockDelta` of any kind.
    pub fn delta(index: u32, delta: impl Into<Value>) -> Self {
        Self::event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta.into()}))
    }

    /// A text delta of block 0.
    pub fn text(text: &str) -> Self {
        Self::delta(0, json!({"text": text}))
    }

    /// `contentBlockStop`.
    pub fn block_stop(index: u32) -> Self {
        Self::event("contentBlockStop", json!({"contentBlockIndex": index}))
    }

    /// `messageStop`.
    pub fn message_stop(reason: &str) -> Self {
        Self::event("messageStop", json!({"stopReason": reason}))
    }

    /// `metadata` with this usage.
    pub fn metadata(input: u32, output: u32) -> Self {
        let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output});
        Self::event("metadata", json!({"usage": usage, "metrics": {"latencyMs": 42}}))
    }

    /// An exception frame.
    pub fn exception(exception_type: &str, message: &str) -> Self {
        Self::Exception { exception_type: exception_type.to_owned(), message: message.to_owned() }
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
        let misplaced = r#"{"fault": {"kind": "oversized", "at": {"byte": 1}}}"#;
        assert!(Script::sequence_from_json(misplaced).unwrap_err().to_string().contains("by event"));
    }
}
