//! Makes the pieces of a text: splits it into words, and gives each its style and what its line begins with.

use std::ops::Range;

use anstyle::{AnsiColor, Style};
use pulldown_cmark::{CodeBlockKind, LinkType};
use unicode_width::UnicodeWidthStr;

use super::{
    JOINER,
    cut::is_wide,
    literal::first_opening,
    pieces::{Before, Builder, Code, Container, Piece},
};
use crate::terminal::visible;

/// A piece without its place on the line.
struct Content<'a> {
    text: &'a str,
    range: Range<usize>,
    style: Style,
    is_line: bool,
    is_final: bool,
}

impl Builder<'_> {
    pub(super) fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    pub(super) fn code_style() -> Style {
        AnsiColor::Cyan.on_default()
    }

    /// Sets what separates the next piece from the last one, unless there is more already.
    pub(super) fn separate(&mut self, before: Before) {
        self.before = self.before.max(before);
    }

    /// Begins a paragraph or another block.
    pub(super) fn block(&mut self) {
        let is_first_of_item = matches!(self.containers.last(), Some(Container::Item { is_new: true, .. }));
        self.separate(if is_first_of_item { Before::Line } else { Before::BlankLine });
        (self.limit, self.outermost, self.is_in_line) = (None, None, false);
    }

    pub(super) fn heading(&mut self, level: usize, range: &Range<usize>) {
        self.block();
        self.is_underlined_heading = !self.source[range.start..].starts_with('#');
        let style = match (self.is_underlined_heading, level) {
            // Its text was shown as a paragraph before the line below it arrived.
            (true, _) => self.style(),
            (false, 1) => self.style().bold().underline(),
            (false, _) => self.style().bold(),
        };
        if !self.is_underlined_heading && !self.look.is_styled {
            self.split(&format!("{} ", "#".repeat(level)), &(range.start..range.start + level), style);
        }
        self.styles.push(style);
    }

    pub(super) fn end_of_heading(&mut self, range: &Range<usize>) {
        self.styles.pop();
        self.separate(Before::Line);
        if std::mem::take(&mut self.is_underlined_heading) {
            self.split(&"─".repeat(20), &(range.end.saturating_sub(1)..range.end), Style::new().dimmed());
        }
    }

    pub(super) fn item(&mut self) {
        self.separate(Before::Line);
        let depth = self.lists.len();
        let marker = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => ["• ", "◦ ", "▪ "][depth.saturating_sub(1) % 3].to_owned(),
        };
        self.containers.push(Container::Item { marker, is_new: true });
        (self.limit, self.outermost, self.is_in_line) = (None, None, false);
    }

    pub(super) fn end_of_item(&mut self, range: Range<usize>) {
        if let Some(Container::Item { is_new: true, .. }) = self.containers.last() {
            self.push(Content { text: "", range, style: Style::new(), is_line: false, is_final: true });
        }
        self.end_of_container();
    }

    pub(super) fn end_of_container(&mut self) {
        self.containers.pop();
        self.common = self.common.min(self.containers.len());
        self.separate(Before::Line);
    }

    /// Begins emphasis, a link or an image.
    pub(super) fn inline(&mut self, mark: &str, range: &Range<usize>, style: impl FnOnce(Style) -> Style) {
        let style = style(self.style());
        self.styles.push(style);
        self.outermost.get_or_insert((self.depth, range.start));
        if !self.look.is_styled && !mark.is_empty() {
            self.split(mark, &(range.start..range.start + mark.len()), style);
        }
    }

    pub(super) fn end_of_inline(&mut self, mark: &str, range: &Range<usize>) {
        let style = self.styles.pop().unwrap_or_default();
        if self.outermost.is_some_and(|(depth, _)| depth == self.depth + 1) {
            self.outermost = None;
        }
        if !self.look.is_styled && !mark.is_empty() {
            self.split(mark, &(range.end.saturating_sub(mark.len())..range.end), style);
        }
    }

    pub(super) fn link(&mut self, link_type: LinkType, address: &str, range: &Range<usize>) {
        let is_text = matches!(link_type, LinkType::Autolink | LinkType::Email);
        self.links.push((!is_text).then(|| address.to_owned()));
        self.inline("", range, Style::underline);
    }

    pub(super) fn end_of_link(&mut self, range: &Range<usize>) {
        self.end_of_inline("", range);
        if let Some(address) = self.links.pop().flatten() {
            let end = range.end.saturating_sub(1)..range.end;
            self.split(&format!(" ({address})"), &end, self.style().dimmed());
        }
    }

    pub(super) fn text(&mut self, text: &str, range: &Range<usize>) {
        if self.limit.is_none() && self.table.is_none() {
            let opening = first_opening(self.source, range.start, range.end);
            self.limit = opening.map(|at| self.outermost.map_or(at, |(_, start)| start));
        }
        self.split(text, range, self.style());
    }

    pub(super) fn inline_code(&mut self, text: &str, range: &Range<usize>) {
        if self.look.is_styled {
            self.split(text, range, Self::code_style());
        } else {
            self.split(&format!("`{text}`"), range, Style::new());
        }
    }

    pub(super) fn code_block(&mut self, kind: &CodeBlockKind<'_>, range: &Range<usize>) {
        self.block();
        self.code = Some(Code::Indented);
        if let CodeBlockKind::Fenced(info) = kind {
            self.code = Some(Code::Fenced(range.start));
            let fence = format!("```{info}");
            self.line(&fence, range.start..range.start + 3, Style::new().dimmed());
        }
    }

    pub(super) fn end_of_code(&mut self, range: &Range<usize>) {
        let text = self.source[range.clone()].trim_end();
        // What follows the last line of the code closes it.
        let first_line = text.find('\n').map_or(range.end, |at| range.start + at + 1);
        let is_closed = match self.code.take() {
            Some(Code::Fenced(end)) => !self.source[end.max(first_line).min(range.end)..range.end].trim().is_empty(),
            _ => false,
        };
        if is_closed {
            let end = range.start + text.len();
            self.separate(Before::Line);
            self.line("```", end - 3..end, Style::new().dimmed());
        }
        self.separate(Before::Line);
    }

    pub(super) fn end_of_table(&mut self, range: &Range<usize>) {
        let Some(table) = self.table.take() else { return };
        let indent = self.indent();
        for line in table.draw(self.look.width.saturating_sub(indent.width())) {
            self.separate(Before::Line);
            self.push(Content {
                text: &line,
                range: range.clone(),
                style: Style::new(),
                is_line: true,
                is_final: false,
            });
        }
        self.separate(Before::Line);
    }

    fn line(&mut self, text: &str, range: Range<usize>, style: Style) {
        self.push(Content { text, range, style, is_line: true, is_final: true });
    }

    /// Lines that are not broken. A line is final if it has ended.
    pub(super) fn lines(&mut self, text: &str, range: &Range<usize>, style: Style) {
        let is_exact = self.source.get(range.clone()) == Some(text);
        let mut at = range.start;
        for line in text.split_inclusive('\n') {
            let range = if is_exact { at..at + line.len() } else { range.clone() };
            at += line.len();
            let is_final = if is_exact { line.ends_with('\n') } else { text.ends_with('\n') };
            let line = line.trim_end_matches('\n');
            // A line can have several events.
            let was_in_line = std::mem::replace(&mut self.is_in_line, !is_final);
            if let Some(last) = self.words.last_mut().filter(|_| was_in_line) {
                last.text.push_str(&visible(line).replace(JOINER, ""));
                (last.range.end, last.is_final) = (range.end, is_final);
                continue;
            }
            self.separate(Before::Line);
            self.push(Content { text: line, range, style, is_line: true, is_final });
        }
    }

    /// Splits a text into words.
    pub(super) fn split(&mut self, text: &str, range: &Range<usize>, style: Style) {
        if let Some(table) = &mut self.table {
            table.text(text);
            return;
        }
        let is_exact = self.source.get(range.clone()) == Some(text);
        let mut word = 0..0;
        for (at, character) in text.char_indices() {
            let end = at + character.len_utf8();
            let is_space = character.is_whitespace();
            if is_space || is_wide(character) {
                self.word(text, word, is_exact, range, style);
                self.separate(match character {
                    _ if is_space => Before::Space,
                    '、' | '。' | '，' | '！' | '？' | '：' | '；' | '）' | '」' | '』' | '】' => {
                        Before::Glue
                    }
                    _ => Before::Break,
                });
                word = if is_space { end..end } else { at..end };
            } else {
                // A line can be broken after a wide character.
                if text[word.clone()].chars().next_back().is_some_and(is_wide) {
                    self.word(text, word, is_exact, range, style);
                    self.separate(Before::Break);
                    word = at..at;
                }
                word.end = end;
            }
        }
        self.word(text, word, is_exact, range, style);
    }

    fn word(&mut self, text: &str, word: Range<usize>, is_exact: bool, range: &Range<usize>, style: Style) {
        if !word.is_empty() {
            let range = if is_exact { range.start + word.start..range.start + word.end } else { range.clone() };
            self.push(Content { text: &text[word], range, style, is_line: false, is_final: true });
        }
    }

    fn push(&mut self, content: Content<'_>) {
        let Content { text, range, style, is_line, is_final } = content;
        let before = std::mem::replace(&mut self.before, Before::Glue);
        let blank = self.begins(self.common, false).trim_end().to_owned();
        self.common = self.containers.len();
        self.words.push(Piece {
            range,
            before,
            // An entity can be a line break.
            text: visible(text).replace('\n', " ").replace(JOINER, ""),
            style: if self.look.is_styled { style } else { Style::new() },
            is_line,
            is_final,
            lead: self.begins(self.containers.len(), true),
            blank,
            indent: self.indent(),
        });
        if before >= Before::Line {
            for container in &mut self.containers {
                if let Container::Item { is_new, .. } = container {
                    *is_new = false;
                }
            }
        }
    }

    fn indent(&self) -> String {
        self.begins(self.containers.len(), false)
    }

    /// What a line in the first `count` containers begins with.
    fn begins(&self, count: usize, has_markers: bool) -> String {
        let parts = self.containers[..count].iter().map(|container| match container {
            Container::Quote => "│ ".to_owned(),
            Container::Item { marker, is_new: true } if has_markers => marker.clone(),
            Container::Item { marker, .. } => " ".repeat(marker.width()),
        });
        parts.collect()
    }
}
