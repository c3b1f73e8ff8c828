//! A scriptable Amazon Bedrock Runtime that runs on a laptop or in CI.
//!
//! It has HTTP/1.1, HTTP/2 and TLS, and sends real `application/vnd.amazon.eventstream` frames, so every AWS SDK can use it with
//! `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`. A [`Script`] describes an answer.
//!
//! # Layout, in the order in which a request meets it
//!
//! - `config` says how an `emulator` is started
//! - `connection` accepts connections, with TLS and HTTP, and can reset them
//! - `routes` has the operations, and `control` those of the emulator itself
//! - `validation` has what Bedrock refuses before a model sees it
//! - `told` finds the script that answers a request, draws its `faults`, and asks the `quota` of its model
//! - `catalogue` has the scripts: built in, from files, from recordings, from tests; `names` finds what a model id or a prompt names
//! - `account` has the models and profiles of the control plane, and `listed` what they are by default; `service_quotas` has its quotas, and `sts` says whose account it is
//! - `vectors` has embeddings and rerankings, and `guardrail` ApplyGuardrail
//! - `prompt` reads what a request says, and `limits` the limits that it sets; `reply` makes the answer of an ordinary model, `tools` with `schema` a call of a
//!   tool, and `structured` finds the schema of an answer
//! - [`script`] describes an answer; [`recording`] reads one from a recorded exchange, [`record`] records them, and `replay` finds the one of a request
//! - `usage` has the tokens that an answer reports
//! - `answer` makes the HTTP response of a script, for each `operation`; `native` has the formats of families
//! - `playback` turns a script into bytes, pauses and faults; `frame` encodes frames
//! - `whole` does so for the operations that do not stream; `fold` joins the events to the answer of Converse
//! - `body` sends them, `ledger` counts, and `history` has the requests

mod account;
mod answer;
mod body;
mod catalogue;
mod config;
mod connection;
mod control;
mod delivery;
mod emulator;
mod faults;
mod fold;
mod frame;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod guardrail;
mod history;
mod ledger;
mod limits;
mod listed;
mod names;
mod native;
mod operation;
mod playback;
mod prompt;
mod quota;
pub mod record;
pub mod recording;
mod replay;
mod reply;
mod routes;
mod schema;
pub mod script;
#[cfg(test)]
mod served;
mod service_quotas;
mod structured;
mod sts;
mod tls;
mod told;
mod tools;
mod usage;
mod validation;
mod vectors;
mod whole;

use std::path::Path;

use crate::catalogue::Catalogue;
pub use crate::{
    config::{Config, LoadError, StartError},
    emulator::Emulator,
    faults::{Faults, FaultsError, RandomFault},
    history::{AnsweredRequest, CapturedRequest, Outcome},
    ledger::Stats,
    names::{RECORDING_PREFIX, SCRIPT_PREFIX},
    quota::{MinuteModel, ModelQuota, Quota, QuotaError, QuotaUsage},
    reply::STORY_PROMPT,
    script::{At, Delivery, Fault, FaultKind, Pace, PaceError, Refusal, Script, Step},
    usage::TokenUsage,
};

/// A complete answer with this text in the native format of this model, without pauses.
pub fn native_reply(model_id: &str, text: &str) -> Script {
    native::reply(model_id, text)
}

/// The names of the scripts and recordings that an emulator with these folders has.
///
/// # Errors
/// If a folder or a file in it cannot be used.
pub fn models(scripts: Option<&Path>, recordings: Option<&Path>) -> Result<Vec<String>, LoadError> {
    Ok(Catalogue::load(scripts, recordings)?.names())
}
