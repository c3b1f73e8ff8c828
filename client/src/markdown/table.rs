//! Draws a table, no wider than the terminal.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, Row, presets::UTF8_FULL_CONDENSED};
use pulldown_cmark::Alignment;

use super::JOINER;
use crate::terminal::visible;

/// The cells of a table. The first row is its head.
#[derive(Debug)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self { alignments, rows: Vec::new() }
    }

    pub(super) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    /// Adds text to the last cell.
    pub(super) fn text(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            // A cell can have a line break as an entity.
            cell.push_str(&visible(text).replace(['\n', '\t'], " ").replace(JOINER, ""));
        }
    }

    /// The lines of the table.
    pub(super) fn draw(self, width: usize) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        let lines = ContentLineStyle::new('│', '│', '│');
        table.load_style(UTF8_FULL_CONDENSED.header_lines(lines).content_lines(lines));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        let mut rows = self.rows.into_iter();
        table.set_header(Row::from(rows.next().unwrap_or_default()));
        for row in rows {
            table.add_row(Row::from(row));
        }
        for (column, alignment) in table.column_iter_mut().zip(self.alignments) {
            column.set_cell_alignment(match alignment {
                Alignment::None | Alignment::Left => CellAlignment::Left,
                Alignment::Center => CellAlignment::Center,
                Alignment::Right => CellAlignment::Right,
            });
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}
