//! The program: parses arguments, sends a request, prints the answer as it arrives, and returns an exit code.
//!
//! Standard output has only the answer. Notes and usage are printed to standard error. `arguments` has the flags of a
//! request, `connection` those about the connection, `output` those about what is printed, `profile` has their defaults in a file, and `prompt` puts the prompt together.
//! `chat` has the chat, and `bench` the benchmark. `failure` has the exit codes and the texts of failures, and `retry` waits for retries. `command` has the subcommands, and
//! `tables` what they print.

mod arguments;
#[cfg(feature = "terminal")]
mod bench;
#[cfg(feature = "terminal")]
mod chat;
mod command;
mod connection;
mod failure;
mod output;
#[cfg(feature = "terminal")]
mod profile;
mod prompt;
mod retry;
mod tables;

use std::{
    io,
    pin::pin,
    time::{Duration, Instant},
};

pub use self::{
    arguments::{AskArgs, CommonArgs, PromptArgs, RequestArgs},
    command::{Command, ConversationCommand, run_command},
    connection::ConnectionArgs,
    failure::Exit,
};
#[cfg(feature = "terminal")]
pub use self::{
    bench::BenchArgs,
    chat::ChatArgs,
    output::OutputArgs,
    profile::{ProfileArgs, WithProfile, with_profile},
};
use self::{failure::Failure, retry::Retries};
use crate::{
    Chunks, Client, ClientError,
    printer::Printer,
    proto::{Chunk, CreateConversationRequest, GenerateRequest, chunk::Event},
    terminal::Output,
};

/// Calls the server at the endpoint and prints the answer. Errors are printed to standard error.
pub async fn run(endpoint: &str, args: &AskArgs) -> Exit {
    let mut printing = Printing::new(output::printer(&args.common));
    let failure = match asked(endpoint, args, &mut printing).await {
        Ok(()) => return Exit::Complete,
        Err(failure) if failure.is_closed_output() => return Exit::Complete,
        Err(failure) => failure,
    };
    let is_cut_off = printing.cut_off();
    report(&failure, &args.common, &Shown { has_content: printing.has_content, is_cut_off })
}

/// What was printed before a failure.
struct Shown {
    has_content: bool,
    is_cut_off: bool,
}

/// Prints a failure to standard error, and with `--json` as the last line of standard output.
fn report(failure: &Failure, args: &CommonArgs, shown: &Shown) -> Exit {
    let mut lines = failure.lines();
    if shown.is_cut_off {
        lines.insert(1, "what was printed is not the complete answer".to_owned());
    }
    // If an output is closed, the exit code remains.
    let _ = Output::of(io::stderr()).text(&format!("outcrop-client: {}\n", lines.join("\n  ")));
    if args.json {
        let _ = Output::of(io::stdout()).json_line(&failure.json(shown.has_content).to_string());
    }
    failure.exit(shown.has_content)
}

/// A printer, and what has arrived.
struct Printing {
    printer: Box<dyn Printer>,
    /// A part of the answer.
    has_content: bool,
    /// Anything that `--json` prints.
    has_chunks: bool,
}

impl Printing {
    fn new(printer: Box<dyn Printer>) -> Self {
        Self { printer, has_content: false, has_chunks: false }
    }

    /// Ends the line, so that an error message can follow. Returns whether a part of the answer was printed.
    fn cut_off(&mut self) -> bool {
        // If the output cannot be written, the error says so already.
        self.printer.cut_off().unwrap_or(true)
    }

    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        self.has_chunks = true;
        self.has_content |= !matches!(chunk.event, Some(Event::Start(_) | Event::Heartbeat(_)));
        self.printer.chunk(chunk)
    }
}

async fn asked(endpoint: &str, args: &AskArgs, printing: &mut Printing) -> Result<(), Failure> {
    // Read before the handler for Ctrl-C is installed, because the handler would not end a blocking read.
    let request = args.request().map_err(Failure::Prompt)?;
    limited(&args.common, Box::pin(ask(endpoint, args, request, printing))).await
}

/// Ends the work at Ctrl-C and after `--timeout`. Dropping it cancels its call.
async fn limited<T>(args: &CommonArgs, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let timed_out = async {
        match args.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        () = timed_out => Err(Failure::TimedOut),
    }
}

async fn ask(endpoint: &str, args: &AskArgs, request: GenerateRequest, printing: &mut Printing) -> Result<(), Failure> {
    let started = Instant::now();
    let client = args.common.connection.builder(endpoint).map_err(Failure::File)?.connect().await?;
    let request = in_conversation(&client, args, request).await?;
    let mut retries = Retries::of(&args.common);
    loop {
        let mut attempt = tonic::Request::new(request.clone());
        if let Some(timeout) = args.common.timeout {
            attempt.set_timeout(timeout.saturating_sub(started.elapsed()));
        }
        match Box::pin(print(&client, attempt, printing, |_| ())).await {
            // Lines of JSON that are printed cannot be taken back.
            Err(failure) if !(printing.has_content || args.common.json && printing.has_chunks) => {
                retries.wait(failure).await?;
            }
            ended => return ended,
        }
    }
}

/// Prints an answer. If the call fails, a note can follow.
async fn print(
    client: &Client,
    request: tonic::Request<GenerateRequest>,
    printing: &mut Printing,
    keep: impl FnMut(&Chunk),
) -> Result<(), Failure> {
    let printed = Box::pin(print_chunks(client, request, printing, keep)).await;
    if printed.is_err() {
        printing.printer.hide_wait();
    }
    printed
}

async fn print_chunks(
    client: &Client,
    request: tonic::Request<GenerateRequest>,
    printing: &mut Printing,
    mut keep: impl FnMut(&Chunk),
) -> Result<(), Failure> {
    let mut chunks = Box::pin(waiting(printing, client.generate(request))).await?;
    while let Some(chunk) = next(&mut chunks, printing).await? {
        keep(&chunk);
        printing.chunk(chunk).map_err(Failure::Output)?;
    }
    Ok(())
}

/// The next chunk.
async fn next(chunks: &mut Chunks, printing: &mut Printing) -> Result<Option<Chunk>, ClientError> {
    let next = chunks.next();
    if printing.has_content { next.await } else { waiting(printing, next).await }
}

/// Shows that something is waited for.
async fn waiting<T>(printing: &mut Printing, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            biased;
            ended = &mut work => return ended,
            _ = ticks.tick() => printing.printer.wait(),
        }
    }
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
            if !args.common.quiet {
                // The call is made even if the note cannot be written.
                let _ = Output::of(io::stderr()).text(&format!("[conversation {}]\n", conversation.conversation_id));
            }
            conversation.conversation_id
        }
        Some(id) => id.to_owned(),
    };
    Ok(GenerateRequest { conversation_id, ..request })
}
