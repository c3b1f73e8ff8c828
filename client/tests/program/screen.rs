//! What a person sees: the screen that the output of a program leaves on a terminal, compared with the one in `client/tests/recordings`.
//!
//! `OUTCROP_TEST_RECORD=1` writes the files again.

use std::{fmt::Write, fs, num::NonZeroU16, path::Path};

use regex_lite::Regex;
use tokio::process::Command;
use vt100::Parser;

use crate::pseudo::{COLUMNS, ROWS, Terminal};

/// What differs from run to run, and what is written for it.
const UNSTEADY: [(&str, &str); 6] = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"outcrop-[0-9a-f]{8}-", "outcrop-ID-"),
    (r"\b[0-9]+(\.[0-9]+)? (s|ms)\b", "N $2"),
    (r"(127\.0\.0\.1|localhost):[0-9]+", "$1:PORT"),
    (r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?", "TIME"),
    (r"[⠁⠂⠄⡀⢀⠠⠐⠈⠉⠙⠚⠒⠲⠴⠤⠦⠖⠓⠋⠃] N s", "⠁ N s"),
];

/// What several commands show, one after the other.
#[derive(Default)]
pub(crate) struct Recording(String);

impl Recording {
    /// Runs a program at a terminal to its end.
    pub(crate) async fn run(&mut self, what: &str, command: Command) {
        self.end(what, Terminal::run(command)).await;
    }

    /// Waits for the end of a program, and adds what it shows.
    pub(crate) async fn end(&mut self, what: &str, mut terminal: Terminal) {
        let code = terminal.end().await.unwrap();
        let screen = screen(terminal.all().await);
        let exit = if code == 0 { String::new() } else { format!("[exit code {code}]\n") };
        self.add(what, &format!("{screen}{exit}"));
    }

    /// Adds what has been shown until now.
    pub(crate) fn add(&mut self, what: &str, shown: &str) {
        write!(self.0, "$ {what}\n{shown}\n").unwrap();
    }

    /// Compares all with the file.
    pub(crate) fn compare(self, name: &str) {
        let recorded = UNSTEADY.iter().fold(self.0, |text, (pattern, steady)| {
            Regex::new(pattern).unwrap().replace_all(&text, *steady).into_owned()
        });
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name).with_extension("txt");
        if std::env::var_os("OUTCROP_TEST_RECORD").is_some_and(|record| record == "1") {
            fs::write(&file, &recorded).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            recorded == expected,
            "the screen differs from {}. If the new one is right, write it with OUTCROP_TEST_RECORD=1:\n{recorded}",
            file.display()
        );
    }
}

/// The lines of the screen. A style is written as `<bold>`, `<dim>`, `<italic>`, `<underline>` or `<inverse>` around its text.
pub(crate) fn screen(written: &str) -> String {
    let size = |number| NonZeroU16::new(number).unwrap();
    let mut parser = Parser::new(size(ROWS), size(COLUMNS), 0);
    parser.process(written.as_bytes());
    let screen = parser.screen();
    let mut lines: Vec<String> = (0..ROWS).map(|row| line(screen, row)).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

fn line(screen: &vt100::Screen, row: u16) -> String {
    let (mut text, mut style) = (String::new(), Vec::new());
    let width = (0..COLUMNS).rev().find(|column| {
        screen.cell(row, *column).is_some_and(|cell| !cell.contents().trim().is_empty() || cell.inverse())
    });
    for column in 0..width.map_or(0, |last| last + 1) {
        let cell = screen.cell(row, column).unwrap();
        if cell.is_wide_continuation() {
            continue;
        }
        let of_cell: Vec<&str> = [
            (cell.bold(), "bold"),
            (cell.dim(), "dim"),
            (cell.italic(), "italic"),
            (cell.underline(), "underline"),
            (cell.inverse(), "inverse"),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect();
        if of_cell != style {
            text += &marks(style.iter().rev(), "</");
            text += &marks(of_cell.iter(), "<");
            style = of_cell;
        }
        text.push_str(if cell.has_contents() { cell.contents() } else { " " });
    }
    text + &marks(style.iter().rev(), "</")
}

/// The marks of the beginning or the end of styles.
fn marks<'a>(styles: impl Iterator<Item = &'a &'a str>, opening: &str) -> String {
    styles.fold(String::new(), |text, name| text + opening + name + ">")
}
