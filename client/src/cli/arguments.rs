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

/// The request, and how the answer is printed.
#[derive(Clone, Debug, Args)]
pub struct AskArgs {
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
    /// The conversation to continue: its id, or `new` for a new one, whose id is printed to standard error
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub common: CommonArgs,
    /// Whether the words alone are the prompt.
    #[arg(skip)]
    pub ignores_stdin: bool,
}

impl AskArgs {
    /// A request with only a prompt. Standard input is not appended to it.
    pub fn new(prompt: String) -> Self {
        Self {
            prompt: vec![prompt],
            ignores_stdin: true,
            model: String::new(),
            system: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            stop_sequences: Vec::new(),
            heartbeat: None,
            conversation: None,
            common: CommonArgs::default(),
        }
    }

    /// The request. Reads standard input, if it is a part of the prompt.
    pub(super) fn request(&self) -> Result<GenerateRequest, PromptError> {
        let config = InferenceConfiguration {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_sequences: self.stop_sequences.clone(),
        };
        Ok(GenerateRequest {
            model: self.model.clone(),
            prompt: if self.ignores_stdin { self.prompt.join(" ") } else { prompt::read(&self.prompt)? },
            system: self
                .system
                .iter()
                .map(|text| SystemContentBlock { block: Some(Block::Text(text.clone())) })
                .collect(),
            inference_config: (config != InferenceConfiguration::default()).then_some(config),
            // The server refuses a duration that is too long.
            heartbeat_interval: self.heartbeat.and_then(|interval| interval.try_into().ok()),
            ..GenerateRequest::default()
        })
    }
}
