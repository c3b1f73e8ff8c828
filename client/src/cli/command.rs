//! The subcommands: `models`, `conversations`, `count` and `health`. Each prints a table or lines for people, or with `--json` one object.

use std::io;

use clap::Subcommand;
use serde_json::json;

use super::{
    AskArgs, CommonArgs, Exit, PromptArgs, RequestArgs, Shown,
    failure::Failure,
    limited,
    output::body,
    report,
    retry::Retries,
    run,
    tables::{content, conversations, models, role},
};
use crate::{
    Client, ClientError,
    json::write,
    proto::{CountTokensRequest, GetConversationResponse, ListConversationsResponse, Message},
    terminal::Output,
};

/// What the program does in place of sending a prompt.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the models that the server names; `*` is its default
    Models,
    /// List, show, delete or continue stored conversations
    #[command(subcommand)]
    Conversations(ConversationCommand),
    /// Chat: prompts and answers in turn, with line editing, until Ctrl-D
    #[cfg(feature = "terminal")]
    Chat(super::ChatArgs),
    /// Send a prompt many times, and print how long answers take
    #[cfg(feature = "terminal")]
    Bench(Box<super::BenchArgs>),
    /// Count the input tokens of a prompt
    Count(PromptArgs),
    /// Ask for the health of the server; the exit code is 0 if it is SERVING, and 6 otherwise
    Health {
        /// The gRPC service to ask about [default: the server as a whole]
        #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
        service: String,
    },
}

/// What to do with stored conversations.
#[derive(Clone, Debug, Subcommand)]
pub enum ConversationCommand {
    /// List the conversations, most recently used first
    List {
        /// The largest number of conversations to list
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Show a conversation with all its turns
    Show {
        /// The id of the conversation
        id: String,
    },
    /// Delete a conversation with all its turns
    Delete {
        /// The id of the conversation
        id: String,
    },
    /// Send a prompt with the turns of a conversation, and store the new turn
    Continue {
        /// The id of the conversation
        id: String,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would take them for the help of the group")]
        request: RequestArgs,
    },
}

/// What a subcommand prints, and how it ends.
struct Shows {
    text: String,
    /// Messages that follow the text.
    messages: Vec<Message>,
    json: String,
    exit: Exit,
}

impl Shows {
    fn new(text: String, json: String) -> Self {
        Self { text, messages: Vec::new(), json, exit: Exit::Complete }
    }
}

/// Runs a subcommand. Errors are printed as those of [`run`].
pub async fn run_command(endpoint: &str, common: &CommonArgs, command: Command) -> Exit {
    let command = match command {
        Command::Conversations(ConversationCommand::Continue { id, request }) => {
            return run(endpoint, &AskArgs { request, conversation: Some(id), common: common.clone() }).await;
        }
        #[cfg(feature = "terminal")]
        Command::Chat(args) => return super::chat::run_chat(endpoint, common, &args).await,
        #[cfg(feature = "terminal")]
        Command::Bench(args) => return super::bench::run_bench(endpoint, common, *args).await,
        other => other,
    };
    let printed = match answered(endpoint, common, &command).await {
        Ok(shows) => {
            let printed =
                if common.json { Output::of(io::stdout()).json_line(&shows.json) } else { print_text(common, &shows) };
            printed.map(|()| shows.exit).map_err(Failure::Output)
        }
        Err(failure) => Err(failure),
    };
    match printed {
        Ok(exit) => exit,
        Err(failure) if failure.is_closed_output() => Exit::Complete,
        Err(failure) => report(&failure, common, &Shown { has_content: false, is_cut_off: false }),
    }
}

/// Prints for people. Messages are printed as answers are.
fn print_text(common: &CommonArgs, shows: &Shows) -> io::Result<()> {
    let mut out = Output::of(io::stdout());
    out.text(&shows.text)?;
    for message in &shows.messages {
        out.text(&format!("\n[{}]\n", role(message)))?;
        let mut body = body(common);
        body.text(&content(message))?;
        body.end()?;
    }
    Ok(())
}

async fn answered(endpoint: &str, common: &CommonArgs, command: &Command) -> Result<Shows, Failure> {
    // Read before the handler for Ctrl-C is installed, because the handler would not end a blocking read.
    let prompt = match command {
        Command::Count(args) => args.text().map_err(Failure::Prompt)?,
        _ => String::new(),
    };
    let work = async {
        let client = common.connection.builder(endpoint).map_err(Failure::File)?.connect().await?;
        let mut retries = Retries::of(common);
        loop {
            match call(&client, command, &prompt).await {
                Err(failure) => retries.wait(failure).await?,
                shows => return shows,
            }
        }
    };
    limited(common, Box::pin(work)).await
}

async fn call(client: &Client, command: &Command, prompt: &str) -> Result<Shows, Failure> {
    match command {
        Command::Models => {
            let listed = client.models().await?;
            Ok(Shows::new(models(&listed), message("ListModelsResponse", &listed)?))
        }
        Command::Count(args) => {
            let request = CountTokensRequest {
                model: args.model.clone(),
                prompt: prompt.to_owned(),
                system: args.system(),
                ..CountTokensRequest::default()
            };
            let tokens = client.count_tokens(request).await?;
            Ok(Shows::new(format!("{tokens}\n"), json!({"inputTokens": tokens}).to_string()))
        }
        Command::Health { service } => {
            let status = client.health(service).await?;
            let exit = if status == "SERVING" { Exit::Complete } else { Exit::Retryable };
            Ok(Shows { exit, ..Shows::new(format!("{status}\n"), json!({"status": status}).to_string()) })
        }
        Command::Conversations(command) => stored(client, command).await,
        // They have loops of their own.
        #[cfg(feature = "terminal")]
        Command::Chat(_) | Command::Bench(_) => Ok(Shows::new(String::new(), String::new())),
    }
}

async fn stored(client: &Client, command: &ConversationCommand) -> Result<Shows, Failure> {
    match command {
        ConversationCommand::List { limit } => {
            let listed = list(client, *limit).await?;
            Ok(Shows::new(conversations(&listed.conversations), message("ListConversationsResponse", &listed)?))
        }
        ConversationCommand::Show { id } | ConversationCommand::Continue { id, .. } => {
            let (conversation, turns) = client.conversation(id).await?;
            let text = conversations(std::slice::from_ref(&conversation));
            let messages = turns.iter().flat_map(|turn| turn.messages.clone()).collect();
            let shown = GetConversationResponse { conversation: Some(conversation), turns, ..Default::default() };
            Ok(Shows { messages, ..Shows::new(text, message("GetConversationResponse", &shown)?) })
        }
        ConversationCommand::Delete { id } => {
            client.delete_conversation(id).await?;
            Ok(Shows::new(format!("deleted {id}\n"), json!({"deleted": id}).to_string()))
        }
    }
}

/// The conversations of as many pages as it takes. The token of the next page is empty if these are all.
async fn list(client: &Client, limit: usize) -> Result<ListConversationsResponse, ClientError> {
    let mut listed = ListConversationsResponse::default();
    while listed.conversations.len() < limit {
        let missing = i32::try_from(limit - listed.conversations.len()).unwrap_or(i32::MAX);
        // The server bounds the size of a page.
        let (page, next) = client.conversations(missing.min(100), &listed.next_page_token).await?;
        listed.conversations.extend(page);
        listed.next_page_token = next;
        if listed.next_page_token.is_empty() {
            break;
        }
    }
    Ok(listed)
}

fn message(name: &str, message: &impl prost::Message) -> Result<String, Failure> {
    write(&format!("outcrop.v1.{name}"), message).map_err(|error| Failure::Output(io::Error::other(error)))
}
