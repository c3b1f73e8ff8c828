//! Replaces control characters in output to a terminal.
//!
//! An answer can contain escape sequences, from the model or from documents that it read. They could move the cursor, set the title, send
//! input to the shell, or change the order of text. On a terminal they are printed as visible characters. A pipe gets the text unchanged.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

/// A stream of output, and whether it is a terminal.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    is_terminal: bool,
}

impl<W: Write + IsTerminal> Output<W> {
    /// An output of this process.
    pub(crate) fn of(writer: W) -> Self {
        let is_terminal = writer.is_terminal();
        Self { writer, is_terminal }
    }
}

impl<W: Write> Output<W> {
    #[cfg(test)]
    pub(crate) fn new(writer: W, is_terminal: bool) -> Self {
        Self { writer, is_terminal }
    }

    #[cfg(test)]
    pub(crate) fn written(&self) -> &W {
        &self.writer
    }

    /// Writes text and flushes it.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        let text = if self.is_terminal { visible(text) } else { text.into() };
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    /// Whether it is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text between two escape sequences of the program, and flushes it. Control characters of the text are replaced.
    pub(crate) fn text_between(&mut self, before: &str, text: &str, after: &str) -> io::Result<()> {
        write!(self.writer, "{before}{}{after}", visible(text))?;
        self.writer.flush()
    }

    /// Writes text in which control characters have been replaced already and styles added, and flushes it.
    #[cfg(feature = "terminal")]
    pub(crate) fn styled(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    /// Writes a line of JSON and flushes it. It is the same JSON for a terminal, with escapes.
    pub(crate) fn json_line(&mut self, json: &str) -> io::Result<()> {
        let json = if self.is_terminal { escaped(json) } else { json.into() };
        self.writer.write_all(json.as_bytes())?;
        self.writer.write_all(b"\n")?;
        self.writer.flush()
    }
}

/// Whether a character controls a terminal: C0 and C1 controls, and characters that change the direction of text.
pub(crate) fn is_control(character: char) -> bool {
    let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    reorders || (character.is_control() && !matches!(character, '\n' | '\t'))
}

/// Text with a visible character for each control character. Line breaks and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            // A Windows line break. The line feed alone has the same effect.
            '\r' if rest.peek() == Some(&'\n') => {}
            control if is_control(control) => shown.push(sign(control)),
            other => shown.push(other),
        }
    }
    shown.into()
}

/// The control picture of a C0 control or of DEL. The replacement character for all others.
fn sign(control: char) -> char {
    match control {
        '\u{7f}' => '\u{2421}',
        c0 if c0.is_ascii() => char::from_u32(0x2400 + u32::from(c0)).unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// JSON text with an escape for each control character. Control characters occur only in strings.
fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(is_control) {
        return json.into();
    }
    let characters = json.chars().map(|character| {
        if is_control(character) { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() }
    });
    characters.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_terminal: bool, texts: &[&str]) -> String {
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes, is_terminal);
        for text in texts {
            output.text(text).unwrap();
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_terminal_gets_signs_and_a_pipe_gets_the_text() {
        let texts = ["a\u{1b}", "[2J\u{7}", "b\r\nc\rd\t\u{9b}", "31m\u{7f}\u{0}", "\u{202e}txt\u{2066}\u{ad} é∀"];
        assert_eq!(written(false, &texts), texts.concat());
        assert_eq!(
            written(true, &texts),
            "a\u{241b}[2J\u{2407}b\nc\u{240d}d\t\u{fffd}31m\u{2421}\u{2400}\u{fffd}txt\u{fffd}\u{ad} é∀"
        );
    }

    #[test]
    fn no_control_character_is_left_wherever_the_text_is_cut() {
        for control in (0..=0x9f).chain(0x2020..=0x2070).filter_map(char::from_u32) {
            let text = format!("x{control}y");
            for at in text.char_indices().map(|(at, _)| at) {
                let shown = written(true, &[&text[..at], &text[at..]]);
                assert!(!shown.contains(is_control), "{control:?} in {shown:?}");
                assert_eq!(shown.chars().count(), text.chars().count(), "{control:?}");
            }
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"text": "a\u{1b}[2J\u{9b}\u{7f}\u{202e}\r\n\té"});
        let mut bytes = Vec::new();
        Output::new(&mut bytes, true).json_line(&value.to_string()).unwrap();
        let line = String::from_utf8(bytes).unwrap();
        assert!(!line.trim_end().contains(is_control), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
