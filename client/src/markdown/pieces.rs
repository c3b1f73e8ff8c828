//! Parses Markdown into pieces: words with their styles, and what stands before them on the line.

use std::ops::Range;

use anstyle::Style;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Look, table::Table};

/// A word, or a line that is not broken.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Where it is in the source.
    pub(super) range: Range<usize>,
    pub(super) before: Before,
    pub(super) text: String,
    pub(super) style: Style,
    /// Whether it is a line that is written as it is.
    pub(super) is_line: bool,
    /// Whether what follows cannot change it, if it is not beyond [`Parsed::limit`].
    pub(super) is_final: bool,
    /// What the line begins with, if the piece begins one.
    pub(super) lead: String,
    /// What an empty line before it begins with.
    pub(super) blank: String,
    /// What the lines after it begin with.
    pub(super) indent: String,
}

impl Piece {
    /// The part of the piece that follows what is shown, if there is any.
    pub(super) fn after(self, shown: usize) -> Option<Self> {
        if self.range.start >= shown {
            return Some(self);
        }
        let is_exact = self.text.len() == self.range.len();
        let rest = self.text.get(shown - self.range.start..).filter(|rest| is_exact && !rest.is_empty())?.to_owned();
        Some(Self { range: shown..self.range.end, before: Before::Glue, text: rest, ..self })
    }
}

/// What separates a piece from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Before {
    /// Nothing: they are one word.
    Glue,
    /// Nothing, but a line can be broken here.
    Break,
    Space,
    Line,
    BlankLine,
}

/// A parsed text.
pub(super) struct Parsed {
    pub(super) pieces: Vec<Piece>,
    /// Where the text begins that can still change.
    pub(super) limit: usize,
    /// The beginning of the last block of the top level.
    pub(super) last_block: usize,
    /// The first line of the last block, if that is code.
    pub(super) code: Option<Range<usize>>,
}

/// What lines of a block begin with.
pub(super) enum Container {
    Quote,
    Item { marker: String, is_new: bool },
}

/// A block of code.
#[derive(Clone, Copy)]
pub(super) enum Code {
    Indented,
    /// Its last line ends here.
    Fenced(usize),
}

/// Makes pieces of events. Its other methods are in [`super::words`].
pub(super) struct Builder<'a> {
    pub(super) source: &'a str,
    pub(super) look: Look,
    pub(super) words: Vec<Piece>,
    pub(super) containers: Vec<Container>,
    /// The smallest number of containers since the last piece.
    pub(super) common: usize,
    pub(super) lists: Vec<Option<u64>>,
    pub(super) styles: Vec<Style>,
    /// The addresses of links and images, if they differ from their texts.
    pub(super) links: Vec<Option<String>>,
    pub(super) before: Before,
    pub(super) limit: Option<usize>,
    pub(super) last_block: Range<usize>,
    /// How deep events are nested.
    pub(super) depth: usize,
    /// The depth and the beginning of the outermost element within a paragraph.
    pub(super) outermost: Option<(usize, usize)>,
    /// The code that is read.
    pub(super) code: Option<Code>,
    pub(super) table: Option<Table>,
    pub(super) is_underlined_heading: bool,
    /// Whether the last line of code or HTML has not ended.
    pub(super) is_in_line: bool,
}

/// Parses a text. If it is not complete, it must end as [`super::cut::cut`] says.
pub(super) fn parse(source: &str, look: Look, is_complete: bool) -> Parsed {
    let mut builder = Builder::new(source, look);
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    for (event, range) in Parser::new_ext(source, options).into_offset_iter() {
        builder.event(event, range);
    }
    builder.into_pieces(is_complete)
}

impl<'a> Builder<'a> {
    fn new(source: &'a str, look: Look) -> Self {
        Self {
            source,
            look,
            words: Vec::new(),
            containers: Vec::new(),
            common: 0,
            lists: Vec::new(),
            styles: Vec::new(),
            links: Vec::new(),
            before: Before::BlankLine,
            limit: None,
            last_block: 0..0,
            depth: 0,
            outermost: None,
            code: None,
            table: None,
            is_underlined_heading: false,
            is_in_line: false,
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        if self.depth == 0 {
            self.last_block = range.clone();
        }
        match event {
            Event::Start(tag) => {
                self.depth += 1;
                self.start(tag, &range);
            }
            Event::End(tag) => {
                self.depth -= 1;
                self.end(tag, &range);
            }
            Event::Text(text) if self.code.is_some() => {
                if let Some(Code::Fenced(end)) = &mut self.code {
                    *end = range.end;
                }
                self.lines(&text, &range, Self::code_style());
            }
            Event::Html(text) => self.lines(&text, &range, Style::new()),
            Event::Text(text) => self.text(&text, &range),
            Event::Code(text) => self.inline_code(&text, &range),
            Event::InlineHtml(text) => self.split(&text, &range, self.style().dimmed()),
            Event::TaskListMarker(is_done) => {
                self.split(if is_done { "[x] " } else { "[ ] " }, &range, self.style());
            }
            Event::SoftBreak => self.separate(Before::Space),
            Event::HardBreak => self.separate(Before::Line),
            Event::Rule => {
                self.block();
                self.split(&"─".repeat(20), &range, Style::new().dimmed());
            }
            // Extensions that are not enabled.
            Event::InlineMath(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.block(),
            Tag::Heading { level, .. } => self.heading(level as usize, range),
            Tag::BlockQuote(_) => {
                self.block();
                self.containers.push(Container::Quote);
            }
            Tag::CodeBlock(kind) => self.code_block(&kind, range),
            Tag::List(first) => {
                self.separate(if self.lists.is_empty() { Before::BlankLine } else { Before::Line });
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Table(alignments) => {
                self.block();
                self.table = Some(Table::new(alignments));
            }
            Tag::TableRow | Tag::TableHead => {
                if let Some(table) = &mut self.table {
                    table.row();
                }
            }
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.cell();
                }
            }
            Tag::Emphasis => self.inline("*", range, Style::italic),
            Tag::Strong => self.inline("**", range, Style::bold),
            Tag::Link { dest_url, link_type, .. } | Tag::Image { dest_url, link_type, .. } => {
                self.link(link_type, &dest_url, range);
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.separate(Before::Line),
            TagEnd::Heading(_) => self.end_of_heading(range),
            TagEnd::BlockQuote(_) => self.end_of_container(),
            TagEnd::CodeBlock => self.end_of_code(range),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Item => self.end_of_item(range.clone()),
            TagEnd::Table => self.end_of_table(range),
            TagEnd::Emphasis => self.end_of_inline("*", range),
            TagEnd::Strong => self.end_of_inline("**", range),
            TagEnd::Link | TagEnd::Image => self.end_of_link(range),
            _ => {}
        }
    }

    fn into_pieces(mut self, is_complete: bool) -> Parsed {
        // An item that is empty so far can get a text.
        if let Some(last) = self.words.last_mut().filter(|last| last.text.is_empty() && !last.is_line) {
            last.is_final = false;
        }
        // The space before a block tells what it is.
        let start = self.source[..self.last_block.start].rfind('\n').map_or(0, |at| at + 1);
        let last_block = if is_complete { self.source.len() } else { start };
        let (block, rest) = self.source.split_at(self.last_block.end);
        let is_line_ended = usize::from(block.ends_with('\n'));
        let is_ended = rest.trim().is_empty() && rest.matches('\n').count() + is_line_ended > 1;
        for piece in &mut self.words {
            // A table that is not the last block, or that an empty line follows.
            piece.is_final |= piece.range.start < last_block || (is_ended && piece.is_line);
        }
        let code = self.source[self.last_block.clone()].starts_with(['`', '~']);
        let code = code.then(|| {
            let line = self.source[self.last_block.start..]
                .find('\n')
                .map_or(self.source.len(), |at| self.last_block.start + at + 1);
            self.last_block.start..line
        });
        let limit = self.limit.unwrap_or(self.source.len());
        Parsed { pieces: self.words, limit, last_block, code }
    }
}
