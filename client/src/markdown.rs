//! Shows Markdown on a terminal while it arrives.
//!
//! Text is only ever appended: nothing that is on the screen is drawn again, so nothing flickers, and no escape sequence moves the cursor.
//! What is shown does not depend on how the text was cut into pieces. For this a text waits until nothing that follows can change how
//! it looks: a word until it ends, emphasis until it is closed, a table until its last row.
//!
//! # Layout
//!
//! - [`mod@cut`] how much of the text can be parsed: complete lines, and the complete words of the last one
//! - [`pieces`] parses it, [`words`] makes words with their styles of it, and [`literal`] finds the first mark that can still change them;
//!   [`table`] draws tables
//! - [`layout`] breaks lines and writes
//!
//! Control characters are replaced twice: in the text, and in each word, because `&#27;` is an escape character in Markdown.

mod cut;
mod layout;
mod literal;
mod pieces;
mod table;
mod words;

use std::io::{self, Write};

use self::{
    cut::{cut, unexpected_delimiter_row},
    layout::Layout,
    pieces::{Parsed, parse},
};
use crate::{
    printer::Body,
    terminal::{Output, visible},
};

/// The most bytes that wait. A longer paragraph, list or table is shown as it is, and the rest of it as a new one.
const MAX_WAITING: usize = 64 << 10;

/// The most bytes of a code block that are kept after they were shown.
const MAX_CODE: usize = 4 << 10;

/// An invisible character that is not shown. It is put into `]:`, so that a line is not taken for the definition of a link, which would not
/// be shown and would change texts that are shown already; and before a row of `|` and `-` below a line that does not begin with `|`, so that
/// this line, which is shown already, is not taken for the head of a table.
const JOINER: &str = "\u{2060}";

/// How Markdown is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// The columns of a line.
    pub(crate) width: usize,
    /// Whether styles are shown with escape sequences. Otherwise the marks of Markdown stay.
    pub(crate) is_styled: bool,
}

/// Markdown that is written as it arrives.
#[derive(Debug)]
pub(crate) struct Markdown<W> {
    out: Output<W>,
    layout: Layout,
    /// What is not shown completely, from the beginning of a block of the top level.
    source: String,
    /// A carriage return at the end of what arrived. It belongs to the line feed that may follow.
    has_carriage_return: bool,
    /// How much of the source has been parsed and shown.
    parsed: usize,
    shown: usize,
}

impl<W: Write> Markdown<W> {
    pub(crate) fn new(out: Output<W>, look: Look) -> Self {
        Self { out, layout: Layout::new(look), source: String::new(), has_carriage_return: false, parsed: 0, shown: 0 }
    }

    /// Adds text, and writes what can be shown.
    pub(crate) fn push(&mut self, text: &str) -> io::Result<()> {
        let text = if self.has_carriage_return { format!("\r{text}") } else { text.to_owned() };
        self.has_carriage_return = text.ends_with('\r');
        self.add(text.strip_suffix('\r').unwrap_or(&text));
        let end = cut(&self.source);
        if end > self.parsed {
            self.parsed = end;
            self.show(end, false);
        }
        if self.source.len() > MAX_WAITING {
            self.show_all();
        }
        self.write()
    }

    fn add(&mut self, text: &str) {
        let text = visible(text);
        if self.source.ends_with(']') && text.starts_with(':') {
            self.source.push_str(JOINER);
        }
        for line in text.replace("]:", &format!("]{JOINER}:")).split_inclusive('\n') {
            self.source.push_str(line);
            if let Some(at) = unexpected_delimiter_row(&self.source) {
                self.source.insert_str(at, JOINER);
            }
        }
    }

    /// Writes all that waits, and ends the line. What is pushed next begins a new block.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.has_carriage_return) {
            self.add("\r");
        }
        self.show_all();
        self.layout.end_line();
        self.write()
    }

    fn show_all(&mut self) {
        self.show(self.source.len(), true);
        self.layout.end_block();
        self.source.clear();
        (self.parsed, self.shown) = (0, 0);
    }

    /// Gives the words to the layout that nothing can change any more, and drops the source of blocks that are shown.
    fn show(&mut self, end: usize, is_complete: bool) {
        let source = &self.source[..end];
        let Parsed { pieces, limit, last_block, code } = parse(source, self.layout.look(), is_complete);
        let limit = if is_complete { end } else { limit };
        let shown = self.shown;
        for piece in pieces.into_iter().filter_map(|piece| piece.after(shown)) {
            if piece.range.end <= limit && (piece.is_final || is_complete) {
                self.shown = piece.range.end.max(self.shown);
                self.layout.piece(piece);
            }
        }
        if source[..limit].ends_with(char::is_whitespace) {
            self.layout.end_word();
        }
        if is_complete {
            return;
        }
        let shown = self.shown;
        let (from, to) = match code {
            Some(code) if shown > code.end + MAX_CODE => (code.end, shown),
            _ => (0, last_block),
        };
        let _ = self.source.drain(from..to);
        self.parsed -= to - from;
        self.shown = if shown >= to { shown - (to - from) } else { from };
    }

    fn write(&mut self) -> io::Result<()> {
        self.out.styled(&self.layout.take())
    }
}

impl<W: Write> Body for Markdown<W> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.push(text)
    }

    fn citation(&mut self, number: usize) -> io::Result<()> {
        self.push(&format!(r"\[{number}\]"))
    }

    fn end(&mut self) -> io::Result<()> {
        self.finish()
    }

    fn end_before_note(&mut self) -> io::Result<()> {
        self.finish()
    }
}

#[cfg(test)]
mod tests;
