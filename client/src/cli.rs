//! The program: parses arguments, sends a request, prints the answer as it arrives, and returns an exit code.
//!
//! Standard output has only the answer. Notes and usage are printed to standard error. `arguments` has the flags of a
//! request, `connection` those about the connection, and `prompt` puts the prompt together.

mod arguments;
mod connection;
mod prompt;

use std::io::{self, ErrorKind};

use self::prompt::PromptError;
pub use self::{arguments::AskArgs, connection::ConnectionArgs};
use crate::{
    Client, ClientError,
    printer::{JsonPrinter, Printer, TextPrinter},
    proto::{CreateConversationRequest, GenerateRequest},
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
        Failure::Prompt(error) => (Exit::Usage, vec![error.to_string()]),
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
    Prompt(PromptError),
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
