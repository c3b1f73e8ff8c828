//! Prints answers: as text for people, or as JSON for programs. Each chunk is flushed.

use std::{
    io::{self, Write},
    time::Instant,
};

use crate::{
    json,
    proto::{Chunk, Finish, Start, chunk::Event},
    terminal::Output,
};

/// Writes chunks as they arrive.
pub(crate) trait Printer {
    /// Writes a chunk.
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()>;

    /// Ends the line, so that an error message can follow. Returns whether a part of the answer was printed.
    fn cut_off(&mut self) -> io::Result<bool>;
}

/// Prints the text to one writer and notes to another.
pub(crate) struct TextPrinter<W, N> {
    out: Output<W>,
    notes: Option<Output<N>>,
    started: Instant,
    start: Start,
    tool_input: String,
    at_line_start: bool,
    has_printed: bool,
}

impl<W: Write, N: Write> TextPrinter<W, N> {
    pub(crate) fn new(out: Output<W>, notes: Option<Output<N>>) -> Self {
        Self {
            out,
            notes,
            started: Instant::now(),
            start: Start::default(),
            tool_input: String::new(),
            at_line_start: true,
            has_printed: false,
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        if let Some(last) = text.chars().last() {
            self.at_line_start = last == '\n';
            self.has_printed = true;
        }
        self.out.text(text)
    }

    fn end_line(&mut self) -> io::Result<()> {
        if self.at_line_start { Ok(()) } else { self.text("\n") }
    }

    /// Prints a note. An error is ignored, so that the answer is printed all the same.
    fn note(&mut self, note: &str) {
        if let Some(notes) = &mut self.notes {
            let _ = notes.text(&format!("[{note}]\n"));
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

    fn cut_off(&mut self) -> io::Result<bool> {
        self.end_line()?;
        Ok(self.has_printed)
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
    use crate::proto::{StopReason, TokenUsage, ToolUseStart};

    fn chunk(event: Event) -> Chunk {
        Chunk { sequence: Some(0), event: Some(event), ..Chunk::default() }
    }

    #[test]
    fn the_answer_is_text_and_everything_else_is_a_note() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut printer = TextPrinter::new(Output::new(&mut out, false), Some(Output::new(&mut notes, false)));
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
    fn names_of_tools_and_models_do_nothing_to_a_terminal() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut printer = TextPrinter::new(Output::new(&mut out, true), Some(Output::new(&mut notes, true)));
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J";
        let events = [
            Event::Start(Start { model_id: hostile.into(), ..Start::default() }),
            Event::ToolUseStart(ToolUseStart { name: hostile.into(), ..ToolUseStart::default() }),
            Event::ToolUseInput(hostile.into()),
            Event::BlockStop(crate::proto::BlockStop {}),
            Event::Finish(Finish { stop_reason_name: hostile.into(), ..Finish::default() }),
        ];
        for event in events {
            printer.chunk(chunk(event)).unwrap();
        }
        let notes = String::from_utf8(notes).unwrap();
        assert_eq!(notes.matches("\u{241b}]0;owned\u{2407}").count(), 4, "{notes:?}");
        assert!(!notes.contains(|c: char| c.is_control() && c != '\n'), "{notes:?}");
    }

    #[test]
    fn json_is_the_form_that_grpcurl_prints() {
        let finish = Finish { stop_reason: StopReason::EndTurn.into(), ..Finish::default() };
        let mut out = Vec::new();
        JsonPrinter::new(Output::new(&mut out, false)).chunk(chunk(Event::Finish(finish))).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "{\"sequence\":0,\"finish\":{\"stopReason\":\"STOP_REASON_END_TURN\"}}\n");
    }
}
