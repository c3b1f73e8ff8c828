//! The commands of a chat: lines that begin with `/`.

use std::path::PathBuf;

/// What `/help` shows.
pub(super) const HELP: &str = "\
/model [NAME]   list the models, or use another one
/system [TEXT]  show the system prompt, or set it
/attach FILE    send an image or a document with the next prompt
/retry          ask again, in place of the last turn
/edit [last]    write a prompt in $EDITOR; `last`: edit the last prompt, in
                place of the last turn
/save FILE      save the messages as Markdown, or as a request if FILE ends
                with .json
/conversation   show where the messages are stored
/new            begin a new conversation
/help           show this
/quit           leave, as Ctrl-D does

Enter sends. Alt-Enter, Ctrl-J or a backslash at the end begins another line,
and \"\"\" encloses several lines. Text that is pasted keeps its lines. Ctrl-R
searches the prompts of the past; one that begins with a space is not kept.
A prompt that begins with a slash needs a space before it.
";

/// The names, for completion.
pub(super) const NAMES: [&str; 10] =
    ["/attach ", "/conversation", "/edit", "/help", "/model ", "/new", "/quit", "/retry", "/save ", "/system "];

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Quit,
    Model(Option<String>),
    System(Option<String>),
    Attach(PathBuf),
    Retry,
    Edit { is_last: bool },
    Save(PathBuf),
    New,
    Conversation,
}

impl Command {
    /// The command of a line. `None` for a prompt.
    pub(super) fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.strip_prefix('/')?.trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        let text = (!argument.is_empty()).then(|| argument.to_owned());
        Some(match (name, text) {
            ("help" | "?", None) => Ok(Self::Help),
            ("quit" | "exit" | "bye", None) => Ok(Self::Quit),
            ("model", text) => Ok(Self::Model(text)),
            ("system", text) => Ok(Self::System(text)),
            ("attach", Some(file)) => Ok(Self::Attach(path(&file))),
            ("save", Some(file)) => Ok(Self::Save(path(&file))),
            ("attach" | "save", None) => Err(format!("/{name} needs a FILE")),
            ("retry", None) => Ok(Self::Retry),
            ("edit", None) => Ok(Self::Edit { is_last: false }),
            ("edit", Some(last)) if last == "last" => Ok(Self::Edit { is_last: true }),
            ("new", None) => Ok(Self::New),
            ("conversation", None) => Ok(Self::Conversation),
            ("help" | "quit" | "retry" | "edit" | "new" | "conversation", Some(text)) => {
                Err(format!("/{name} does not take {text:?}. /help shows the commands"))
            }
            _ => Err(format!(
                "/{name} is not a command. /help shows them. Begin a prompt with a space to send it as it is"
            )),
        })
    }
}

/// A path as a shell takes it: without quotation marks around it, and with `~/` for the home folder.
fn path(text: &str) -> PathBuf {
    let quoted = |mark| text.strip_prefix(mark).and_then(|text| text.strip_suffix(mark));
    let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_slash_is_a_command_or_an_error_and_never_a_prompt() {
        assert_eq!(Command::parse("hello"), None);
        assert_eq!(Command::parse(" /etc is a folder"), None);
        for (line, command) in [
            ("/help", Command::Help),
            ("/model", Command::Model(None)),
            ("/model  a.model ", Command::Model(Some("a.model".to_owned()))),
            ("/system be brief\nand kind", Command::System(Some("be brief\nand kind".to_owned()))),
            ("/attach \"a file.png\"", Command::Attach("a file.png".into())),
            ("/edit last", Command::Edit { is_last: true }),
            ("/quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Some(Ok(command)), "{line}");
        }
        for line in ["/etc is a folder", "/retry now", "/save", "/"] {
            assert!(Command::parse(line).unwrap().is_err(), "{line}");
        }
    }
}
