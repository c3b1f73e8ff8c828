//! The program: parses arguments, sends a request, prints the answer as it arrives, and returns an exit code.
//!
//! Standard output has only the answer. Notes and usage are printed to standard error. `connection` has the flags about the connection.

mod connection;

use std::{
    io::{self, ErrorKind, Read},
    time::Duration,
};

use clap::Args;

pub use self::connection::ConnectionArgs;
use crate::{
    Client, ClientError,
    printer::{JsonPrinter, Printer, TextPrinter},
    proto::{
        CreateConversationRequest, GenerateRequest, InferenceConfiguration, SystemContentBlock,
        system_content_block::Block,
    },
    terminal::Output,
};

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The answer is complete, or standard output was closed.
    Complete = 0,
    /// The call failed. What was printed is not the complete answer.
    Failed = 1,
    /// The arguments are invalid.
    Usage = 2,
    /// There is no server at the endpoint.
    Unreachable = 3,
    /// Ctrl-C: the call was cancelled.
    Cancelled = 130,
}

/// The request, and how the answer is printed.
#[derive(Clone, Debug, Args)]
pub struct AskArgs {
    /// The prompt; `-` reads it from standard input
    pub prompt: String,
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
    /// The time for the whole call
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// The server sends a heartbeat after this time without a chunk, so that proxies keep the connection open
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub heartbeat: Option<Duration>,
    /// The conversation to continue: its id, or `new` for a new one, whose id is printed to standard error
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub connection: ConnectionArgs,
    /// Print each chunk as a line of JSON
    #[arg(long)]
    pub json: bool,
    /// Print only errors to standard error
    #[arg(long, short)]
    pub quiet: bool,
}

impl AskArgs {
    /// A request with only a prompt.
    pub fn new(prompt: String) -> Self {
        Self {
            prompt,
            model: String::new(),
            system: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            stop_sequences: Vec::new(),
            timeout: None,
            heartbeat: None,
            conversation: None,
            connection: ConnectionArgs::default(),
            json: false,
            quiet: false,
        }
    }

    fn request(&self) -> io::Result<GenerateRequest> {
        let mut prompt = self.prompt.clone();
        if prompt == "-" {
            prompt.clear();
            io::stdin().read_to_string(&mut prompt)?;
        }
        let config = InferenceConfiguration {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_sequences: self.stop_sequences.clone(),
        };
        Ok(GenerateRequest {
            model: self.model.clone(),
            prompt,
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

/// Calls the server at the endpoint and prints the answer. Errors are printed to standard error.
pub async fn run(endpoint: &str, args: &AskArgs) -> Exit {
    let mut printer: Box<dyn Printer> = if args.json {
        Box::new(JsonPrinter::new(Output::of(io::stdout())))
    } else {
        Box::new(TextPrinter::new(Output::of(io::stdout()), (!args.quiet).then(|| Output::of(io::stderr()))))
    };
    let failure = match asked(endpoint, args, printer.as_mut()).await {
        Ok(()) => return Exit::Complete,
        Err(failure) => failure,
    };
    let (exit, mut lines) = match failure {
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => return Exit::Complete,
        Failure::Output(error) => (Exit::Failed, vec![format!("cannot write the answer: {error}")]),
        Failure::Prompt(error) => (Exit::Usage, vec![format!("cannot read the prompt from standard input: {error}")]),
        Failure::File(problem) => (Exit::Usage, vec![problem]),
        Failure::Interrupted => (Exit::Cancelled, vec!["cancelled".to_owned()]),
        Failure::TimedOut => {
            (Exit::Failed, vec!["the answer was not complete within --timeout. Allow more time".to_owned()])
        }
        Failure::Client(error) => (exit_of(&error), explain(&error)),
    };
    // If the output cannot be written, the error says so already.
    if printer.cut_off().unwrap_or(true) {
        lines.insert(1, "what was printed is not the complete answer".to_owned());
    }
    // If standard error is closed, only the exit code remains.
    let _ = Output::of(io::stderr()).text(&format!("outcrop-client: {}\n", lines.join("\n  ")));
    exit
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Endpoint { .. }
        | ClientError::Authorities(_)
        | ClientError::Identity(_)
        | ClientError::ApiKey(_) => Exit::Usage,
        ClientError::Connect { .. } | ClientError::Protocol { .. } => Exit::Unreachable,
        ClientError::Call(_) | ClientError::BrokenContract(_) => Exit::Failed,
    }
}

async fn asked(endpoint: &str, args: &AskArgs, printer: &mut dyn Printer) -> Result<(), Failure> {
    // Read before the handler for Ctrl-C is installed, because the handler would not end a blocking read.
    let request = args.request().map_err(Failure::Prompt)?;
    let timed_out = async {
        match args.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    // Dropping the first branch cancels the call.
    tokio::select! {
        result = ask(endpoint, args, request, printer) => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        () = timed_out => Err(Failure::TimedOut),
    }
}

enum Failure {
    Client(ClientError),
    Prompt(io::Error),
    File(String),
    Output(io::Error),
    Interrupted,
    TimedOut,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

async fn ask(
    endpoint: &str,
    args: &AskArgs,
    request: GenerateRequest,
    printer: &mut dyn Printer,
) -> Result<(), Failure> {
    let client = args.connection.builder(endpoint).map_err(Failure::File)?.connect().await?;
    let request = in_conversation(&client, args, request).await?;
    let mut request = tonic::Request::new(request);
    if let Some(timeout) = args.timeout {
        request.set_timeout(timeout);
    }
    let mut chunks = client.generate(request).await?;
    while let Some(chunk) = chunks.next().await? {
        printer.chunk(chunk).map_err(Failure::Output)?;
    }
    Ok(())
}

/// Adds the conversation to the request, if one is given.
async fn in_conversation(
    client: &Client,
    args: &AskArgs,
    request: GenerateRequest,
) -> Result<GenerateRequest, ClientError> {
    let conversation_id = match args.conversation.as_deref() {
        None => String::new(),
        Some("new") => {
            let conversation = client.create_conversation(CreateConversationRequest::default()).await?;
            if !args.quiet {
                // The call is made even if the note cannot be written.
                let _ = Output::of(io::stderr()).text(&format!("[conversation {}]\n", conversation.conversation_id));
            }
            conversation.conversation_id
        }
        Some(id) => id.to_owned(),
    };
    Ok(GenerateRequest { conversation_id, ..request })
}

/// The lines of an error: message, retry delay, request id.
fn explain(error: &ClientError) -> Vec<String> {
    let ClientError::Call(call) = error else { return vec![error.to_string()] };
    let mut lines = vec![call.to_string()];
    if let Some(delay) = call.retry_delay {
        lines.push(format!("retry after {}", humantime::format_duration(delay)));
    }
    if let Some(id) = &call.request_id {
        lines.push(format!("AWS request id: {id}"));
    }
    lines
}
