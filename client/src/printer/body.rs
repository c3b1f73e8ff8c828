//! Where the text of an answer goes: unchanged to a pipe or a terminal. `markdown` has the one that is laid out.

use std::io::{self, Write};

use crate::terminal::Output;

/// Where the text of an answer goes.
pub(crate) trait Body {
    /// Adds text.
    fn text(&mut self, text: &str) -> io::Result<()>;

    /// Marks the text before with the number of a citation, if there is a place for marks.
    fn citation(&mut self, number: usize) -> io::Result<()>;

    /// Ends the line.
    fn end(&mut self) -> io::Result<()>;

    /// Ends the line if notes are shown between the lines of the answer. A pipe gets only what the model says.
    fn end_before_note(&mut self) -> io::Result<()>;
}

/// The text as it is.
pub(crate) struct Plain<W> {
    out: Output<W>,
    /// Whether nothing was written after a line break.
    at_line_start: bool,
}

impl<W: Write> Plain<W> {
    pub(crate) fn new(out: Output<W>) -> Self {
        Self { out, at_line_start: true }
    }
}

impl<W: Write> Body for Plain<W> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.at_line_start = text.chars().next_back().map_or(self.at_line_start, |last| last == '\n');
        self.out.text(text)
    }

    fn citation(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.at_line_start { Ok(()) } else { self.text("\n") }
    }

    fn end_before_note(&mut self) -> io::Result<()> {
        if self.out.is_terminal() { self.end() } else { Ok(()) }
    }
}
