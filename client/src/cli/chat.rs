//! `chat`: prompts and answers in turn, until Ctrl-D.
//!
//! # Layout
//!
//! - [`input`] reads prompts: from a terminal with line editing and history, or the lines of a pipe
//! - [`commands`] what a line that begins with `/` means
//! - [`session`] the messages, and what of them the server stores
//! - [`turn`] sends a prompt and prints the answer; Ctrl-C stops it
//! - [`attach`], [`editor`] and [`save`] deal with files

mod attach;
mod commands;
mod editor;
mod input;
mod save;
mod session;
mod turn;

use std::io::{self, IsTerminal};

use clap::Args;

use self::{
    commands::Command,
    input::{Input, Line},
    session::Session,
};
use super::{CommonArgs, Exit, Shown, failure::Failure, report};
use crate::{
    Client,
    printer::Notes,
    proto::{ContentBlock, InferenceConfiguration, content_block::Block},
    terminal::Output,
};

/// How a chat begins.
#[derive(Clone, Debug, Default, Args)]
pub struct ChatArgs {
    /// The model [default: the server's, or that of the conversation]
    #[arg(long, env = "OUTCROP_MODEL", default_value = "", hide_default_value = true)]
    pub model: String,
    /// The system prompt
    #[arg(long)]
    pub system: Option<String>,
    /// The maximum number of tokens of an answer
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<i32>,
    /// The temperature, 0 to 1; a lower value makes the answers more predictable
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f32>,
    /// Continue this stored conversation
    #[arg(long, value_name = "ID", conflicts_with_all = ["latest", "no_store"])]
    pub conversation: Option<String>,
    /// Continue the conversation that was used last
    #[arg(long = "continue", conflicts_with = "no_store")]
    pub latest: bool,
    /// Do not store the conversation on the server: the client sends all messages with each prompt
    #[arg(long)]
    pub no_store: bool,
    /// Do not keep the prompts for the next chat (in ~/.local/state/outcrop/chat-history)
    #[arg(long)]
    pub no_history: bool,
}

/// A chat that runs.
struct Chat<'a> {
    client: Client,
    common: &'a CommonArgs,
    config: Option<InferenceConfiguration>,
    session: Session,
    notes: Notes<io::Stderr>,
}

/// What follows a line.
enum Next {
    /// Another line.
    Read,
    Leave,
}

/// Runs a chat. Errors are printed as those of [`super::run`].
pub(super) async fn run_chat(endpoint: &str, common: &CommonArgs, args: &ChatArgs) -> Exit {
    match chat(endpoint, common, args).await {
        Ok(()) => Exit::Complete,
        Err(failure) if failure.is_closed_output() => Exit::Complete,
        Err(failure) => report(&failure, common, &Shown { has_content: false, is_cut_off: false }),
    }
}

async fn chat(endpoint: &str, common: &CommonArgs, args: &ChatArgs) -> Result<(), Failure> {
    if common.json {
        return Err(Failure::File(
            "chat has no --json. Send prompts one by one with --conversation ID --json".to_owned(),
        ));
    }
    let mut input = Input::new(args.no_history).map_err(Failure::Input)?;
    let client = common.connection.builder(endpoint).map_err(Failure::File)?.connect().await?;
    let config = InferenceConfiguration {
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        ..InferenceConfiguration::default()
    };
    let mut chat = Chat {
        client,
        common,
        config: (config != InferenceConfiguration::default()).then_some(config),
        session: Session::new(args.model.clone(), args.system.clone(), !args.no_store),
        notes: Notes::new((!common.quiet).then(|| Output::of(io::stderr())), false),
    };
    chat.resume(args).await?;
    if io::stdin().is_terminal() {
        chat.notes.note("/help shows the commands. Ctrl-C stops an answer, Ctrl-D leaves");
    }
    loop {
        let line = input.read().await.map_err(Failure::Input)?;
        let text = match line {
            Line::Text(text) if text.trim().is_empty() => continue,
            Line::Text(text) => text,
            Line::Interrupted => {
                chat.notes.note("Ctrl-D leaves");
                continue;
            }
            Line::End => return Ok(()),
        };
        match chat.line(&text).await {
            Ok(Next::Read) => {}
            Ok(Next::Leave) => return Ok(()),
            // A script ends at its first failure.
            Err(failure) if !io::stdin().is_terminal() || failure.is_closed_output() => return Err(failure),
            Err(failure) => {
                report(&failure, common, &Shown { has_content: false, is_cut_off: false });
            }
        }
    }
}

impl Chat<'_> {
    async fn line(&mut self, text: &str) -> Result<Next, Failure> {
        let Some(command) = Command::parse(text) else {
            let prompt = self.session.prompt(input::unwrapped(text));
            return self.ask(prompt).await;
        };
        match command.map_err(Failure::File)? {
            Command::Help => {
                // The help is for the reader at the terminal, and no answer.
                let _ = Output::of(io::stderr()).text(commands::HELP);
            }
            Command::Quit => return Ok(Next::Leave),
            Command::Model(None) => self.list_models().await?,
            Command::Model(Some(name)) => self.session.model = name,
            Command::System(None) => {
                let system = self.session.system.clone();
                self.notes.note(system.as_deref().unwrap_or("no system prompt is set"));
            }
            Command::System(Some(text)) => self.session.system = Some(text),
            Command::Attach(file) => {
                let attached = attach::read(&file, self.session.attachments.len()).map_err(Failure::File)?;
                self.notes.note(&format!("{}: goes with the next prompt", attached.description));
                self.session.attachments.push(attached.block);
            }
            Command::Retry => return self.retry().await,
            Command::Edit { is_last } => return self.edit(is_last).await,
            Command::Save(file) => {
                let count = save::save(&file, &self.session).map_err(Failure::File)?;
                self.notes.note(&format!("{count} messages saved in {}", file.display()));
            }
            Command::New => {
                self.session.restart();
                self.notes.note("a new conversation begins");
            }
            Command::Conversation => {
                let description = self.session.description();
                self.notes.note(&description);
            }
        }
        Ok(Next::Read)
    }

    async fn list_models(&mut self) -> Result<(), Failure> {
        let listed = self.client.models().await?;
        let current = if self.session.model.is_empty() { "the default" } else { &self.session.model };
        let text = format!("{}model: {current}\n", super::tables::models(&listed));
        // The table is for the reader at the terminal, and no answer.
        let _ = Output::of(io::stderr()).text(&text);
        Ok(())
    }

    /// Sends the last prompt again, in place of the last turn.
    async fn retry(&mut self) -> Result<Next, Failure> {
        match self.session.take_back() {
            Some(prompt) => self.ask(prompt).await,
            None => Err(Failure::File("there is no prompt to send again".to_owned())),
        }
    }

    /// Lets the user write a prompt in an editor: a new one, or the last one, which then replaces the last turn.
    async fn edit(&mut self, is_last: bool) -> Result<Next, Failure> {
        let old = if is_last { self.session.last_prompt() } else { Vec::new() };
        let is_text = |block: &&ContentBlock| matches!(block.block, Some(Block::Text(_)));
        let text: Vec<_> = old
            .iter()
            .filter_map(|block| match &block.block {
                Some(Block::Text(text)) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let edited = editor::edit(text.join("\n\n")).await.map_err(Failure::File)?;
        if edited.trim().is_empty() {
            self.notes.note("the prompt is empty: nothing is sent");
            return Ok(Next::Read);
        }
        let mut prompt = self.session.prompt(edited);
        if is_last {
            self.session.take_back();
            let others = old.iter().filter(|block| !is_text(block)).cloned();
            prompt.splice(0..0, others);
        }
        self.ask(prompt).await
    }

    /// Reads the conversation that is continued, and shows its last answer.
    async fn resume(&mut self, args: &ChatArgs) -> Result<(), Failure> {
        let id = match &args.conversation {
            None if !args.latest => return Ok(()),
            None => self.client.conversations(1, "").await?.0.first().map(|latest| latest.conversation_id.clone()),
            id => id.clone(),
        };
        let Some(id) = id else {
            self.notes.note("there is no stored conversation yet: a new one begins");
            return Ok(());
        };
        self.reload(&id).await?;
        let description = self.session.description();
        self.notes.note(&description);
        if let Some(answer) = self.session.last_answer() {
            let mut body = self.common.output.body();
            body.text(&answer).and_then(|()| body.end()).map_err(Failure::Output)?;
        }
        Ok(())
    }

    /// Takes the turns of a stored conversation.
    async fn reload(&mut self, id: &str) -> Result<(), Failure> {
        let (conversation, turns) = self.client.conversation(id).await?;
        self.session.take_stored(conversation, turns);
        Ok(())
    }
}
