//! Breaks words into lines, and writes them with their styles.

use std::{
    fmt::Write,
    mem::{replace, take},
};

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::{
    Look,
    pieces::{Before, Piece},
};

/// The most bytes of a word that wait for its end.
const MAX_WORD: usize = 1 << 10;

/// How much of the line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// It has not begun.
    Ended,
    /// What lines of its block begin with.
    Begun,
    /// Words too.
    HasWords,
}

/// The lines that are written, and the word that is not complete.
#[derive(Debug)]
pub(super) struct Layout {
    look: Look,
    out: String,
    column: usize,
    line: Line,
    /// Whether anything was ever written.
    has_written: bool,
    has_space: bool,
    indent: String,
    word: Vec<(Style, String)>,
}

impl Layout {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            out: String::new(),
            column: 0,
            line: Line::Ended,
            has_written: false,
            has_space: false,
            indent: String::new(),
            word: Vec::new(),
        }
    }

    pub(super) fn look(&self) -> Look {
        self.look
    }

    /// What has been written since the last call.
    pub(super) fn take(&mut self) -> String {
        take(&mut self.out)
    }

    pub(super) fn piece(&mut self, piece: Piece) {
        match piece.before {
            Before::Glue => {}
            Before::Break => self.end_word(),
            Before::Space => {
                self.end_word();
                self.has_space = true;
            }
            Before::Line | Before::BlankLine => {
                self.end_line();
                if piece.before == Before::BlankLine && self.has_written {
                    self.styled(Style::new().dimmed(), &piece.blank);
                    self.out.push('\n');
                }
                self.begin_line(&piece.lead);
                self.indent = piece.indent;
            }
        }
        if piece.is_line {
            self.styled(piece.style, &piece.text);
            (self.line, self.column) = (Line::HasWords, self.look.width);
        } else {
            self.word.push((piece.style, piece.text));
            if self.word.iter().map(|(_, text)| text.len()).sum::<usize>() > MAX_WORD {
                self.end_word();
            }
        }
    }

    /// Writes the word that waits.
    pub(super) fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = take(&mut self.word);
        let width: usize = word.iter().map(|(_, text)| text.width()).sum();
        let has_space = take(&mut self.has_space);
        if self.line == Line::Ended {
            self.begin_line("");
        }
        let has_words = self.line == Line::HasWords;
        if has_words && self.column + usize::from(has_space) + width > self.look.width {
            self.out.push('\n');
            let indent = self.indent.clone();
            self.begin_line(&indent);
        } else if has_space && has_words {
            self.out.push(' ');
            self.column += 1;
        }
        for (style, text) in word {
            self.styled(style, &text);
        }
        self.line = Line::HasWords;
        self.column += width;
        // The terminal breaks a word that is longer than a line.
        if self.column > self.look.width {
            self.column %= self.look.width.max(1);
        }
    }

    /// Ends the line, if there is one.
    pub(super) fn end_line(&mut self) {
        self.end_word();
        if replace(&mut self.line, Line::Ended) != Line::Ended {
            self.out.push('\n');
        }
        self.has_space = false;
    }

    /// Ends the word. The next piece begins a line.
    pub(super) fn end_block(&mut self) {
        self.end_word();
        self.has_space = false;
    }

    fn begin_line(&mut self, lead: &str) {
        self.styled(Style::new().dimmed(), lead);
        self.column = lead.width();
        (self.line, self.has_written) = (Line::Begun, true);
    }

    fn styled(&mut self, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.look.is_styled || style == Style::new() || text.trim().is_empty() {
            self.out.push_str(text);
        } else {
            // Writing to a text cannot fail.
            let _ = write!(self.out, "{}{text}{}", style.render(), style.render_reset());
        }
    }
}
