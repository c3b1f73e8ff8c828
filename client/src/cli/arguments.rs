//! The arguments of a request, and the request that they make.

use std::time::Duration;

use clap::Args;

use super::{
    connection::ConnectionArgs,
    prompt::{self, PromptError},
};
use crate::proto::{GenerateRequest, InferenceConfiguration, SystemContentBlock, system_content_block::Block};

/// What all calls have: the connection, time, retries and the form of the output.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub connection: ConnectionArgs,
    #[cfg(feature = "terminal")]
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub output: super::OutputArgs,
    /// The time for the whole call, with its retries
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// How often to call again if the server says that it can help (RetryInfo) and no chunk was printed. The client waits as the server says
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub retry: u32,
    /// Print JSON: each chunk is a line, and the last line of a failed call has its error
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only errors to standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The input of a model.
#[derive(Clone, Debug, Default, Args)]
pub struct PromptArgs {
    /// The prompt: all words, joined by spaces. A pipe or file at standard input is appended to it, or is the prompt if there are no words. If
    /// the last word is `-`, standard input is read whatever it is, and waited for without a limit
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// The model [default: the server's]
    #[arg(long, env = "OUTCROP_MODEL", default_value = "", hide_default_value = true)]
    pub model: String,
    /// The system prompt
    #[arg(long)]
    pub system: Option<String>,
    /// Whether the words alone are the prompt.
    #[arg(skip)]
    pub ignores_stdin: bool,
}

impl PromptArgs {
    /// The text of the prompt. Reads standard input, if it is a part of it.
    pub(super) fn text(&self) -> Result<String, PromptError> {
        if self.ignores_stdin { Ok(self.prompt.join(" ")) } else { prompt::read(&self.prompt) }
    }

    pub(super) fn system(&self) -> Vec<SystemContentBlock> {
        self.system.iter().map(|text| SystemContentBlock { block: Some(Block::Text(text.clone())) }).collect()
    }
}

/// A request, except its conversation.
#[derive(Clone, Debug, Default, Args)]
pub struct RequestArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub prompt: PromptArgs,
    /// The maximum number of tokens to generate
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<i32>,
    /// The temperature, 0 to 1; a lower value makes the answer more predictable
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f32>,
    /// The share of most likely candidates for the next token, 0 to 1
    #[arg(long, value_name = "NUMBER")]
    pub top_p: Option<f32>,
    /// A text that ends the generation; repeatable
    #[arg(long = "stop", value_name = "TEXT")]
    pub stop_sequences: Vec<String>,
    /// The server sends a heartbeat after this time without a chunk, so that proxies keep the connection open
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub heartbeat: Option<Duration>,
}

/// The request, and how the answer is printed.
#[derive(Clone, Debug, Default, Args)]
pub struct AskArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub request: RequestArgs,
    /// The conversation to continue: its id, or `new` for a new one, whose id is printed to standard error
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub common: CommonArgs,
}

impl AskArgs {
    /// A request with only a prompt. Standard input is read only if the prompt is `-`.
    pub fn new(prompt: String) -> Self {
        let ignores_stdin = prompt != "-";
        let prompt = PromptArgs { prompt: vec![prompt], ignores_stdin, ..PromptArgs::default() };
        Self { request: RequestArgs { prompt, ..RequestArgs::default() }, ..Self::default() }
    }

    /// The request. Reads standard input, if it is a part of the prompt.
    pub(super) fn request(&self) -> Result<GenerateRequest, PromptError> {
        let args = &self.request;
        let config = InferenceConfiguration {
            max_tokens: args.max_tokens,
            temperature: args.temperature,
            top_p: args.top_p,
            stop_sequences: args.stop_sequences.clone(),
        };
        Ok(GenerateRequest {
            model: args.prompt.model.clone(),
            prompt: args.prompt.text()?,
            system: args.prompt.system(),
            inference_config: (config != InferenceConfiguration::default()).then_some(config),
            // The server refuses a duration that is too long.
            heartbeat_interval: args.heartbeat.and_then(|interval| interval.try_into().ok()),
            ..GenerateRequest::default()
        })
    }
}
