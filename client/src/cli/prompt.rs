//! Puts the prompt together: the words of the arguments, and standard input.
//!
//! Standard input is read without being asked for only if it is a pipe or a file. A terminal, `/dev/null` and a socket are not read, so that a
//! cron job, a container or a parent process that passes on its own input does not block the call. A pipe whose other end is open and silent
//! is an error after [`SILENCE_LIMIT`], because waiting would hang, and going on could leave out the text that the question is about.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The time for the first byte of a pipe, or its end.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// The reason why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub(super) enum PromptError {
    /// Neither words nor standard input.
    #[error("there is no prompt. Write it as an argument, or send it to standard input")]
    Missing,
    /// The other end of the pipe sends nothing and does not close it.
    #[error(
        "standard input is a pipe that sent nothing for {} s. Close it (</dev/null), or write - as the last word to wait without a limit",
        SILENCE_LIMIT.as_secs()
    )]
    Silent,
    /// Standard input cannot be read, or is not UTF-8.
    #[error("cannot read the prompt from standard input: {0}")]
    Unreadable(#[from] io::Error),
}

/// The prompt. Blocks until standard input ends, if it is read.
pub(super) fn read(words: &[String]) -> Result<String, PromptError> {
    match words.split_last() {
        Some((last, words)) if last == "-" => Ok(joined(words, read_to_end()?)),
        _ if is_pipe_or_file()? => {
            if !is_ready_within(&io::stdin(), SILENCE_LIMIT)? {
                return Err(PromptError::Silent);
            }
            Ok(joined(words, read_to_end()?))
        }
        Some(_) => Ok(words.join(" ")),
        None => Err(PromptError::Missing),
    }
}

/// The words, an empty line and the input. An empty part is left out.
fn joined(words: &[String], input: String) -> String {
    let words = words.join(" ");
    match (words.is_empty(), input.is_empty()) {
        (true, _) => input,
        (_, true) => words,
        _ => format!("{words}\n\n{input}"),
    }
}

fn read_to_end() -> io::Result<String> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    Ok(input)
}

fn is_pipe_or_file() -> io::Result<bool> {
    let kind = File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata()?.file_type();
    Ok(kind.is_fifo() || kind.is_file())
}

/// Whether there is something to read, or the end, within this time.
fn is_ready_within(input: &impl AsFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&limit))? > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_pipe_is_ready_with_its_first_byte_and_with_its_end_and_not_before() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(!is_ready_within(&reader, Duration::from_millis(20)).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(is_ready_within(&reader, SILENCE_LIMIT).unwrap());
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert!(is_ready_within(&reader, SILENCE_LIMIT).unwrap());
    }

    #[test]
    fn the_input_follows_the_words_after_an_empty_line() {
        let words = ["summarise".to_owned(), "this".to_owned()];
        assert_eq!(joined(&words, "a\nb\n".to_owned()), "summarise this\n\na\nb\n");
        assert_eq!(joined(&words, String::new()), "summarise this");
        assert_eq!(joined(&[], "a\n".to_owned()), "a\n");
    }
}
