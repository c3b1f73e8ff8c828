//! One printer per format: text for people, JSON for programs.
//!
//! Each chunk is flushed, because a stream that waits in a buffer is none.

use std::{
    io::{self, Write},
    time::Instant,
};

use crate::{
    json,
    proto::{Chunk, Finish, Start, chunk::Event},
};

/// Writes chunks as they arrive.
pub(crate) trait Printer {
    /// Writes a chunk.
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()>;

    /// The stream has failed: leaves the output so that an error message can follow.
    fn cut_off(&mut self) -> io::Result<()>;
}

/// The text to one writer, notes to another.
pub(crate) struct TextPrinter<W, N> {
    out: W,
    notes: Option<N>,
    started: Instant,
    start: Start,
    tool_input: String,
    at_line_start: bool,
}

impl<W: Write, N: Write> TextPrinter<W, N> {
    pub(crate) fn new(out: W, notes: Option<N>) -> Self {
        let start = Start::default();
        Self { out, notes, started: Instant::now(), start, tool_input: String::new(), at_line_start: true }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        if let Some(last) = text.chars().last() {
            self.at_line_start = last == '\n';
        }
        self.out.flush()
    }

    fn end_line(&mut self) -> io::Result<()> {
        if self.at_line_start { Ok(()) } else { self.text("\n") }
    }

    /// A note that cannot be written is no reason to stop printing the answer.
    fn note(&mut self, note: &str) {
        if let Some(notes) = &mut self.notes {
            let _ = writeln!(notes, "[{note}]");
        }
    }

    fn finish(&mut self, finish: &Finish) -> io::Result<()> {
        self.end_line()?;
        let mut parts = vec![finish.stop_reason_name.clone(), self.start.model_id.clone()];
        if let Some(usage) = &finish.usage {
            parts.push(format!("{} tokens in, {} out", usage.input_tokens(), usage.output_tokens()));
        }
        parts.push(format!("{:.1} s", self.started.elapsed().as_secs_f64()));
        self.note(&parts.join(" · "));
        Ok(())
    }
}

impl<W: Write, N: Write> Printer for TextPrinter<W, N> {
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        match chunk.event {
            Some(Event::Start(start)) => self.start = start,
            Some(Event::Text(text)) => self.text(&text)?,
            Some(Event::ToolUseStart(tool)) => {
                self.end_line()?;
                self.tool_input = format!("tool {} ", tool.name);
            }
            Some(Event::ToolUseInput(input)) => self.tool_input.push_str(&input),
            Some(Event::BlockStop(_)) if !self.tool_input.is_empty() => {
                let tool = std::mem::take(&mut self.tool_input);
                self.note(tool.trim_end());
            }
            Some(Event::Finish(finish)) => self.finish(&finish)?,
            _ => {}
        }
        Ok(())
    }

    fn cut_off(&mut self) -> io::Result<()> {
        self.end_line()
    }
}

/// One chunk a line, in the JSON form of protobuf.
pub(crate) struct JsonPrinter<W> {
    out: W,
}

impl<W: Write> JsonPrinter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Printer for JsonPrinter<W> {
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        let mut line = json::write("outcrop.v1.Chunk", &chunk).map_err(io::Error::other)?;
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    fn cut_off(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{StopReason, TokenUsage, ToolUseStart};

    fn chunk(event: Event) -> Chunk {
        Chunk { sequence: Some(0), event: Some(event), ..Chunk::default() }
    }

    #[test]
    fn the_answer_is_text_and_everything_else_is_a_note() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut printer = TextPrinter::new(&mut out, Some(&mut notes));
        let usage = TokenUsage { input_tokens: Some(3), output_tokens: Some(5), ..TokenUsage::default() };
        let tool = ToolUseStart { name: "look".into(), ..ToolUseStart::default() };
        let finish = Finish { stop_reason_name: "tool_use".into(), usage: Some(usage), ..Finish::default() };
        let events = [
            Event::Text("Hel".into()),
            Event::Text("lo".into()),
            Event::ToolUseStart(tool),
            Event::ToolUseInput("{}".into()),
            Event::BlockStop(crate::proto::BlockStop {}),
            Event::Finish(finish),
        ];
        for event in events {
            printer.chunk(chunk(event)).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "Hello\n");
        let notes = String::from_utf8(notes).unwrap();
        assert!(notes.starts_with("[tool look {}]\n[tool_use · "), "{notes}");
        assert!(notes.contains("3 tokens in, 5 out"), "{notes}");
    }

    #[test]
    fn json_is_the_form_that_grpcurl_prints() {
        let finish = Finish { stop_reason: StopReason::EndTurn.into(), ..Finish::default() };
        let mut out = Vec::new();
        JsonPrinter::new(&mut out).chunk(chunk(Event::Finish(finish))).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "{\"sequence\":0,\"finish\":{\"stopReason\":\"STOP_REASON_END_TURN\"}}\n");
    }
}
