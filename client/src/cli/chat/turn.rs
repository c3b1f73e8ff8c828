//! One turn of a chat: sends a prompt, prints the answer, and adds both to the session.

use std::io::{self, IsTerminal};

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::time::sleep;

use super::{Chat, Next};
use crate::{
    ClientError, Collector,
    cli::{Printing, Shown, failure::Failure, limited, output, print, report, retry::Retries},
    proto::{Chunk, ContentBlock, CreateConversationRequest, GenerateRequest},
};

/// How often a turn is sent again while another turn of the conversation is running, such as one that was just stopped.
const BUSY_RETRIES: u32 = 5;

impl Chat<'_> {
    /// Sends a prompt and prints the answer. A failure of a turn is printed here, and ends only a chat that reads a pipe.
    pub(super) async fn ask(&mut self, prompt: Vec<ContentBlock>) -> Result<Next, Failure> {
        let turn_id = format!("{:032x}", fastrand::u128(..));
        let mut printing = Printing::new(output::printer(self.common));
        let mut collector = Collector::default();
        let common = self.common;
        let ended = {
            let _echo = NoEcho::new();
            let work = self.turn(&prompt, &turn_id, &mut printing, &mut collector);
            limited(common, Box::pin(work)).await
        };
        let Err(failure) = ended else {
            self.session.complete(prompt, turn_id, collector.into_answer());
            return Ok(Next::Read);
        };
        let is_cut_off = printing.cut_off();
        if let Failure::Interrupted = failure {
            let messages = self.session.messages().len();
            self.session.stopped(prompt, turn_id, collector.into_answer());
            let is_kept = self.session.messages().len() > messages;
            self.notes.note(if is_kept { "stopped; the text is kept" } else { "stopped" });
            return if io::stdin().is_terminal() { Ok(Next::Read) } else { Err(failure) };
        }
        self.session.failed(prompt, turn_id);
        if failure.is_closed_output() || !io::stdin().is_terminal() {
            if is_cut_off {
                self.notes.note("what was printed is not the complete answer");
            }
            return Err(failure);
        }
        report(&failure, common, &Shown { has_content: printing.has_content, is_cut_off });
        self.notes.note("/retry sends the prompt again");
        Ok(Next::Read)
    }

    async fn turn(
        &mut self,
        prompt: &[ContentBlock],
        turn_id: &str,
        printing: &mut Printing,
        collector: &mut Collector,
    ) -> Result<(), Failure> {
        self.create_conversation().await?;
        let mut retries = Retries::of(self.common);
        let (mut is_reloaded, mut busy) = (false, 0);
        loop {
            let request = self.session.request(prompt, turn_id);
            let request = GenerateRequest { inference_config: self.config.clone(), ..request };
            let keep = |chunk: &Chunk| collector.add(chunk.clone());
            let Err(failure) = Box::pin(print(&self.client, tonic::Request::new(request), printing, keep)).await else {
                return Ok(());
            };
            let (reason, delay) =
                failure.call().map(|call| (call.reason.as_str(), call.retry_delay)).unwrap_or_default();
            if reason == "CONVERSATION_CHANGED" && !is_reloaded {
                is_reloaded = true;
                self.take_changes().await?;
            } else if let ("CONVERSATION_BUSY", Some(delay)) = (reason, delay)
                && busy < BUSY_RETRIES
            {
                busy += 1;
                sleep(delay).await;
            } else if printing.has_content {
                return Err(failure);
            } else {
                retries.wait(failure).await?;
            }
            *collector = Collector::default();
        }
    }

    /// Creates a conversation for the first prompt. A server that stores none is no failure: then the client has the messages.
    async fn create_conversation(&mut self) -> Result<(), Failure> {
        if !self.session.is_stored || self.session.conversation().is_some() {
            return Ok(());
        }
        let request = CreateConversationRequest {
            model: self.session.model.clone(),
            system: self.session.system(),
            ..CreateConversationRequest::default()
        };
        match self.client.create_conversation(request).await {
            Ok(conversation) => {
                let note = format!("conversation {}", conversation.conversation_id);
                self.session.created(conversation);
                self.notes.note(&note);
            }
            Err(ClientError::Call(call)) if call.reason == "NO_CONVERSATIONS" => {
                self.session.is_stored = false;
                self.notes.note("the server stores no conversations: only this program has the messages");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads the conversation after a turn whose end the client does not know, or that another client added.
    async fn take_changes(&mut self) -> Result<(), Failure> {
        let Some(id) = self.session.conversation().map(|stored| stored.id.clone()) else { return Ok(()) };
        self.reload(&id).await?;
        let note = format!("the conversation has changed, and was read again: {}", self.session.description());
        self.notes.note(&note);
        Ok(())
    }
}

/// A terminal that does not show what is typed while an answer is printed. It is read as the next prompt.
struct NoEcho(Option<Termios>);

impl NoEcho {
    fn new() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut quiet = before.clone();
        // Without line discipline too: Enter stays the key that it is for the line editor.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        quiet.input_modes.remove(InputModes::ICRNL);
        Self(tcsetattr(io::stdin(), OptionalActions::Now, &quiet).is_ok().then_some(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // If the terminal is gone, so is its state.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
