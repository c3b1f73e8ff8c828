//! The messages of a chat. The server stores them as a conversation, if it stores any; the client keeps them too, with all content blocks.
//!
//! A stored conversation only grows. A turn that is asked again therefore begins a new conversation, whose first turn has the messages
//! before it; the old one stays as it is.

use crate::{
    Answer,
    proto::{
        ContentBlock, Conversation, GenerateRequest, Message, Role, SystemContentBlock, Turn, content_block::Block,
        system_content_block,
    },
};

/// The messages, and what goes with the next prompt.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) model: String,
    pub(super) system: Option<String>,
    pub(super) attachments: Vec<ContentBlock>,
    /// Whether new conversations are stored by the server.
    pub(super) is_stored: bool,
    conversation: Option<Stored>,
    /// The messages of the conversation.
    known: Vec<Message>,
    /// Messages that follow, and that the conversation does not have yet.
    unsent: Vec<Message>,
    /// The last prompt and how its turn ended.
    last: Option<Last>,
}

/// A conversation of the server.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    title: String,
    /// The revision that the client has seen.
    revision: u32,
}

#[derive(Debug)]
struct Last {
    prompt: Vec<ContentBlock>,
    turn_id: String,
    end: End,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// The user stopped it, and a part of the answer is kept.
    Stopped,
    /// There is no answer.
    Failed,
}

impl Session {
    pub(super) fn new(model: String, system: Option<String>, is_stored: bool) -> Self {
        Self { model, system, is_stored, ..Self::default() }
    }

    /// A prompt with what is attached.
    pub(super) fn prompt(&mut self, text: String) -> Vec<ContentBlock> {
        let mut prompt = std::mem::take(&mut self.attachments);
        prompt.push(ContentBlock { block: Some(Block::Text(text)) });
        prompt
    }

    pub(super) fn system(&self) -> Vec<SystemContentBlock> {
        let block = |text: &String| SystemContentBlock { block: Some(system_content_block::Block::Text(text.clone())) };
        self.system.iter().map(block).collect()
    }

    /// All messages.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.known.iter().chain(&self.unsent).cloned().collect()
    }

    /// The conversation of the server, if there is one.
    pub(super) fn conversation(&self) -> Option<&Stored> {
        self.conversation.as_ref()
    }

    pub(super) fn created(&mut self, conversation: Conversation) {
        let Conversation { conversation_id, revision, .. } = conversation;
        self.conversation = Some(Stored { id: conversation_id, title: String::new(), revision });
    }

    /// The request for a prompt. It has only the messages that the conversation does not have.
    pub(super) fn request(&self, prompt: &[ContentBlock], turn_id: &str) -> GenerateRequest {
        let mut messages = if self.conversation.is_some() { self.unsent.clone() } else { self.messages() };
        messages.push(Message { role: Role::User.into(), content: prompt.to_vec() });
        let request = GenerateRequest {
            model: self.model.clone(),
            system: self.system(),
            messages,
            ..GenerateRequest::default()
        };
        match &self.conversation {
            Some(Stored { id, revision, .. }) => GenerateRequest {
                conversation_id: id.clone(),
                conversation_revision: Some(*revision),
                turn_id: turn_id.to_owned(),
                ..request
            },
            None => request,
        }
    }

    /// Adds a complete turn. An answer without content cannot be continued, and the server does not store it.
    pub(super) fn complete(&mut self, prompt: Vec<ContentBlock>, turn_id: String, answer: Answer) {
        if answer.message.content.is_empty() {
            return self.failed(prompt, turn_id);
        }
        self.known.append(&mut self.unsent);
        self.known.push(Message { role: Role::User.into(), content: prompt.clone() });
        self.known.push(answer.message);
        if let (Some(stored), Some(revision)) = (&mut self.conversation, answer.finish.conversation_revision) {
            stored.revision = revision;
        }
        self.last = Some(Last { prompt, turn_id, end: End::Complete });
    }

    /// Keeps the text of an answer that the user stopped. The server stores it with the next turn.
    pub(super) fn stopped(&mut self, prompt: Vec<ContentBlock>, turn_id: String, partial: Answer) {
        let is_text = |block: &ContentBlock| matches!(block.block, Some(Block::Text(_) | Block::CitationsContent(_)));
        let content: Vec<_> = partial.message.content.into_iter().filter(is_text).collect();
        if content.is_empty() {
            return self.failed(prompt, turn_id);
        }
        self.unsent.push(Message { role: Role::User.into(), content: prompt.clone() });
        self.unsent.push(Message { role: Role::Assistant.into(), content });
        self.last = Some(Last { prompt, turn_id, end: End::Stopped });
    }

    pub(super) fn failed(&mut self, prompt: Vec<ContentBlock>, turn_id: String) {
        self.last = Some(Last { prompt, turn_id, end: End::Failed });
    }

    /// The last prompt.
    pub(super) fn last_prompt(&self) -> Vec<ContentBlock> {
        self.last.as_ref().map(|last| last.prompt.clone()).unwrap_or_default()
    }

    /// Removes the last turn, and returns its prompt.
    pub(super) fn take_back(&mut self) -> Option<Vec<ContentBlock>> {
        let Last { prompt, end, .. } = self.last.take()?;
        match end {
            End::Failed => {}
            End::Stopped => self.unsent.truncate(self.unsent.len().saturating_sub(2)),
            End::Complete => {
                self.known.truncate(self.known.len().saturating_sub(2));
                // The conversation has the turn, so what is before it goes to a new one.
                if self.conversation.take().is_some() {
                    self.unsent = std::mem::take(&mut self.known);
                }
            }
        }
        Some(prompt)
    }

    /// Forgets all messages. The conversation stays on the server.
    pub(super) fn restart(&mut self) {
        let Self { model, system, attachments, is_stored, .. } = std::mem::take(self);
        *self = Self { model, system, attachments, is_stored, ..Self::default() };
    }

    /// Takes the turns of a conversation. A turn that was stopped or that failed can have been stored all the same; its messages are then
    /// known.
    pub(super) fn take_stored(&mut self, conversation: Conversation, turns: Vec<Turn>) {
        let is_stored = |id: &str| turns.iter().any(|turn| turn.turn_id == id);
        if self.last.as_ref().is_some_and(|last| is_stored(&last.turn_id)) {
            self.unsent.clear();
        }
        let Conversation { conversation_id, title, revision, .. } = conversation;
        self.conversation = Some(Stored { id: conversation_id, title, revision });
        self.known = turns.into_iter().flat_map(|turn| turn.messages).collect();
        self.last = match &self.known[..] {
            [.., user, _] if user.role() == Role::User => {
                Some(Last { prompt: user.content.clone(), turn_id: String::new(), end: End::Complete })
            }
            _ => None,
        };
    }

    /// The text of the last answer.
    pub(super) fn last_answer(&self) -> Option<String> {
        let last = self.known.iter().rfind(|message| message.role() == Role::Assistant)?;
        Some(Answer { message: last.clone(), ..Answer::default() }.text())
    }

    /// Where the messages are stored, and how many there are.
    pub(super) fn description(&self) -> String {
        let count = self.known.len() + self.unsent.len();
        match &self.conversation {
            Some(Stored { id, title, .. }) if title.is_empty() => format!("conversation {id}: {count} messages"),
            Some(Stored { id, title, .. }) => format!("conversation {id}: {count} messages, {title:?}"),
            None if self.is_stored => format!("{count} messages; the server stores them with the next prompt"),
            None => format!("{count} messages, which only this program has. /save FILE keeps them"),
        }
    }
}

#[cfg(test)]
mod tests;
