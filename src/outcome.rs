//! What became of a call: what the log, the metrics and the audit log are told once, at its end.
//!
//! - [`pace`] the gaps between the chunks of a stream

pub(crate) mod pace;

use std::time::Duration;

use self::pace::Pace;
use crate::{
    error::{CallContext, Error, Reason},
    event::Used,
    identity::Identity,
};

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// A method without a stream was answered with OK.
    Answered,
    /// It never became a stream.
    Refused(&'a Error),
    /// The caller left before there was an answer or a refusal.
    Left,
    /// A stream ended with OK.
    Finished,
    /// A stream ended with an error.
    Failed(&'a Error),
    /// The caller left in the middle of a stream.
    Abandoned {
        /// What happened to the call to Bedrock: `cancel` or `drain`.
        mode: &'static str,
        /// The same in words.
        result: &'a str,
    },
}

impl Outcome<'_> {
    /// The word for it, as in the log and in labels of metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused(_) => "refused",
            Self::Left => "left",
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// The error with which the call ended.
    pub(crate) fn error(&self) -> Option<&Error> {
        match self {
            Self::Refused(error) | Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// `OK`, the reason of the error, or what the caller did.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::Answered | Self::Finished => "OK",
            Self::Refused(error) | Self::Failed(error) => error.reason().name(),
            Self::Left => Reason::CallerCancelled.name(),
            Self::Abandoned { .. } => "ABANDONED",
        }
    }
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer<'a> {
    /// The tokens that Bedrock has reported.
    pub(crate) used: Option<Used>,
    /// Bedrock's reason for its end.
    pub(crate) stop_reason: Option<&'a str>,
    /// The chunks and gaps of its stream.
    pub(crate) pace: Option<&'a Pace>,
}

/// A call at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSummary<'a> {
    /// The name of its method.
    pub(crate) method: &'a str,
    /// Who made it, if that was decided.
    pub(crate) identity: Option<&'a Identity>,
    /// The model or route that the request names, or the default; empty until the request was checked.
    pub(crate) model: &'a str,
    /// The same as a label: `other` if the configuration does not name it, because a caller can choose any name.
    pub(crate) model_label: &'a str,
    /// How it ended.
    pub(crate) outcome: Outcome<'a>,
    /// The last attempt and all before it.
    pub(crate) attempts: &'a CallContext,
    /// From its headers to its end.
    pub(crate) duration: Duration,
    /// From its headers to its first content.
    pub(crate) first_content: Option<Duration>,
    /// The tokens that Bedrock has reported.
    pub(crate) used: Option<Used>,
    /// Bedrock's reason for the end of the answer.
    pub(crate) stop_reason: Option<&'a str>,
    /// The chunks and gaps of its stream.
    pub(crate) pace: Option<&'a Pace>,
}

impl CallSummary<'_> {
    /// The tenant of the caller, or an empty text.
    pub(crate) fn tenant(&self) -> &str {
        self.identity.map_or("", Identity::tenant)
    }
}
