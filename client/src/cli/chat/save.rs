//! Saves the messages of a chat: as a request in JSON, which has all content blocks, or as Markdown for people.

use std::{fmt::Write as _, fs::OpenOptions, io::Write, path::Path};

use super::session::Session;
use crate::{
    cli::tables::shown,
    json,
    proto::{GenerateRequest, Message, Role},
};

/// Writes a new file. Returns the number of messages.
pub(super) fn save(path: &Path, session: &Session) -> Result<usize, String> {
    let messages = session.messages();
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let problem = |error: &dyn std::fmt::Display| format!("cannot save {}: {error}", path.display());
    let text = if is_json {
        let request = GenerateRequest {
            model: session.model.clone(),
            system: session.system(),
            messages: messages.clone(),
            ..GenerateRequest::default()
        };
        json::write("outcrop.v1.GenerateRequest", &request).map_err(|error| problem(&error))? + "\n"
    } else {
        markdown(&messages)
    };
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| problem(&error))?;
    Ok(messages.len())
}

fn markdown(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let title = if message.role() == Role::Assistant { "Answer" } else { "Prompt" };
        let _ = write!(text, "## {title}\n\n");
        for block in &message.content {
            let _ = write!(text, "{}\n\n", shown(block).trim_end());
        }
    }
    text
}
