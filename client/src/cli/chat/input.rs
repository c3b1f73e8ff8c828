//! Reads prompts: from a terminal with line editing and history, or the lines of a pipe or a file.

use std::{
    borrow::Cow,
    collections::VecDeque,
    env, fs,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use rustyline::{
    Cmd, CompletionType, Config, Context, Editor, Helper, KeyCode, KeyEvent, Modifiers,
    completion::{Completer, FilenameCompleter, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::task::spawn_blocking;

use super::commands::NAMES;

/// The most prompts that are kept.
const MAX_HISTORY: usize = 1000;

/// Encloses a prompt of several lines.
const QUOTES: &str = "\"\"\"";

/// What was read.
pub(super) enum Line {
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// Where prompts come from.
pub(super) enum Input {
    Terminal {
        /// Absent while it is used.
        editor: Option<Box<Editor<Prompts, FileHistory>>>,
        history: Option<PathBuf>,
    },
    Lines(VecDeque<String>),
}

impl Input {
    /// Reads a pipe or a file to its end, so that no thread waits for it later.
    pub(super) fn new(has_no_history: bool) -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            return Ok(Self::Lines(prompts(&text)));
        }
        let config = Config::builder()
            .max_history_size(MAX_HISTORY)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(io::Error::other)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Prompts(FilenameCompleter::new())));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
        editor.bind_sequence(KeyEvent::ctrl('J'), Cmd::Newline);
        let history = if has_no_history { None } else { history_file() };
        if let Some(path) = &history {
            // There is none before the first chat.
            let _ = editor.load_history(path);
        }
        Ok(Self::Terminal { editor: Some(Box::new(editor)), history })
    }

    /// The next line. A thread of the runtime waits for it.
    pub(super) async fn read(&mut self) -> io::Result<Line> {
        let (slot, history) = match self {
            Self::Lines(lines) => return Ok(lines.pop_front().map_or(Line::End, Line::Text)),
            Self::Terminal { editor, history } => (editor, history),
        };
        let Some(mut editor) = slot.take() else { return Ok(Line::End) };
        let (mut editor, line) = spawn_blocking(move || {
            let line = editor.readline("> ");
            (editor, line)
        })
        .await?;
        let line = match line {
            Ok(text) => {
                let is_kept = editor.add_history_entry(&text).unwrap_or(false);
                if let Some(path) = history.as_ref().filter(|_| is_kept) {
                    // A prompt is sent also if it cannot be kept.
                    let _ = editor.append_history(path);
                }
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        };
        *slot = Some(editor);
        line
    }
}

/// `$XDG_STATE_HOME/outcrop/chat-history`, in a folder that exists.
fn history_file() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("outcrop");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat-history"))
}

/// The prompts of a text: its lines, and what is in quotes or ends with a backslash together.
fn prompts(text: &str) -> VecDeque<String> {
    let mut prompts = VecDeque::new();
    let mut prompt = String::new();
    for line in text.lines() {
        prompt.push_str(line);
        if is_open(&prompt) {
            prompt.push('\n');
        } else {
            prompts.push_back(std::mem::take(&mut prompt));
        }
    }
    if !prompt.is_empty() {
        prompts.push_back(prompt);
    }
    prompts
}

/// Whether a prompt goes on after this line.
fn is_open(text: &str) -> bool {
    match text.trim_start().strip_prefix(QUOTES) {
        Some(quoted) => !quoted.contains(QUOTES),
        None => text.ends_with('\\'),
    }
}

/// A prompt without its quotes and without the backslashes at the ends of lines.
pub(super) fn unwrapped(text: &str) -> String {
    match text.trim().strip_prefix(QUOTES) {
        Some(quoted) => quoted.strip_suffix(QUOTES).unwrap_or(quoted).trim_matches('\n').to_owned(),
        None => text.replace("\\\n", "\n"),
    }
}

/// Completes commands and the files of `/attach` and `/save`, and takes prompts of several lines.
pub(super) struct Prompts(FilenameCompleter);

impl Completer for Prompts {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if line.starts_with("/attach ") || line.starts_with("/save ") {
            return self.0.complete(line, at, context);
        }
        let begun = NAMES.iter().filter(|name| line.starts_with('/') && name.starts_with(&line[..at]));
        let pairs = begun.map(|name| Pair { display: name.trim_end().to_owned(), replacement: (*name).to_owned() });
        Ok((0, pairs.collect()))
    }
}

impl Validator for Prompts {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Prompts {
    type Hint = String;
}

impl Highlighter for Prompts {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        hint.into()
    }
}

impl Helper for Prompts {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_goes_on_after_a_backslash_and_within_quotes() {
        let text = "one\ntwo \\\nlines\n\"\"\"\nthree\n\nlines\n\"\"\"\nlast";
        let read: Vec<_> = prompts(text).iter().map(|prompt| unwrapped(prompt)).collect();
        assert_eq!(read, ["one", "two \nlines", "three\n\nlines", "last"]);
        assert_eq!(prompts("\"\"\"open"), ["\"\"\"open\n"]);
    }
}
