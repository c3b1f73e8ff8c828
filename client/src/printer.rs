//! Prints answers: as text for people, or as JSON for programs. Each chunk is flushed.
//!
//! [`text`] prints text, with [`body`] for the answer, [`notes`] for everything else, [`citations`] and [`images`]. `spinner` shows that an
//! answer is waited for.

mod body;
mod citations;
mod images;
mod notes;
#[cfg(feature = "terminal")]
mod spinner;
mod text;

use std::io::{self, Write};

pub(crate) use self::{
    body::{Body, Plain},
    images::Images,
    notes::Notes,
    text::TextPrinter,
};
#[cfg(feature = "terminal")]
pub(crate) use self::{notes::Wait, spinner::Spinner};
use crate::{json, proto::Chunk, terminal::Output};

/// Writes chunks as they arrive.
pub(crate) trait Printer {
    /// Writes a chunk.
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()>;

    /// Ends the line, so that an error message can follow. Returns whether a part of the answer was printed.
    fn cut_off(&mut self) -> io::Result<bool>;

    /// Shows that the answer is waited for. It is called several times a second.
    fn wait(&mut self) {}

    /// Hides what [`Printer::wait`] shows, so that a note can be written. The next call shows it again.
    fn hide_wait(&mut self) {}
}

impl Body for Box<dyn Body> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        (**self).text(text)
    }

    fn citation(&mut self, number: usize) -> io::Result<()> {
        (**self).citation(number)
    }

    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }

    fn end_before_note(&mut self) -> io::Result<()> {
        (**self).end_before_note()
    }
}

/// Prints each chunk as a line in the JSON form of protobuf.
pub(crate) struct JsonPrinter<W> {
    out: Output<W>,
    has_printed: bool,
}

impl<W: Write> JsonPrinter<W> {
    pub(crate) fn new(out: Output<W>) -> Self {
        Self { out, has_printed: false }
    }
}

impl<W: Write> Printer for JsonPrinter<W> {
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        let line = json::write("outcrop.v1.Chunk", &chunk).map_err(io::Error::other)?;
        self.has_printed = true;
        self.out.json_line(&line)
    }

    fn cut_off(&mut self) -> io::Result<bool> {
        Ok(self.has_printed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Finish, StopReason, chunk::Event};

    #[test]
    fn json_is_the_form_that_grpcurl_prints() {
        let finish = Finish { stop_reason: StopReason::EndTurn.into(), ..Finish::default() };
        let chunk = Chunk { sequence: Some(0), event: Some(Event::Finish(Box::new(finish))), ..Chunk::default() };
        let mut out = Vec::new();
        JsonPrinter::new(Output::new(&mut out, false)).chunk(chunk).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "{\"sequence\":0,\"finish\":{\"stopReason\":\"STOP_REASON_END_TURN\"}}\n");
    }
}
