//! Prints an answer as text: what the model says to one output, and notes about everything else to another.

use std::{
    io::{self, Write},
    time::Instant,
};

use super::{Body, Images, Notes, Printer, citations};
use crate::proto::{
    Chunk, Finish, ReasoningDelta, Start, ToolResultBlockDelta, ToolResultDelta, chunk::Event, reasoning_delta::Delta,
    tool_result_block_delta,
};

/// The most characters of the result of a tool in a note.
const MAX_RESULT: usize = 400;

/// Prints the text to one output and notes to another.
pub(crate) struct TextPrinter<B, N> {
    body: B,
    notes: Notes<N>,
    images: Images,
    started: Instant,
    start: Start,
    tool: String,
    citations: Vec<String>,
    /// How many citations the body has marks for.
    marked: usize,
    has_printed: bool,
}

impl<B: Body, N: Write> TextPrinter<B, N> {
    pub(crate) fn new(body: B, notes: Notes<N>, images: Images) -> Self {
        Self {
            body,
            notes,
            images,
            started: Instant::now(),
            start: Start::default(),
            tool: String::new(),
            citations: Vec::new(),
            marked: 0,
            has_printed: false,
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.notes.end_reasoning();
        self.has_printed |= !text.is_empty();
        self.body.text(text)
    }

    fn reasoning(&mut self, reasoning: ReasoningDelta) -> io::Result<()> {
        match reasoning.delta {
            Some(Delta::Text(text)) => {
                self.body.end_before_note()?;
                self.notes.reasoning(&text);
            }
            Some(Delta::RedactedContent(bytes)) => {
                self.notes.note(&format!("{} bytes of reasoning that the provider encrypted", bytes.len()));
            }
            Some(Delta::Signature(_)) | None => {}
        }
        Ok(())
    }

    fn begin_tool(&mut self, description: String) -> io::Result<()> {
        self.body.end()?;
        self.tool = description;
        Ok(())
    }

    fn tool_result(&mut self, result: ToolResultDelta) {
        for ToolResultBlockDelta { delta } in result.content {
            match delta {
                Some(tool_result_block_delta::Delta::Text(text) | tool_result_block_delta::Delta::JsonText(text)) => {
                    self.tool.push_str(&text);
                }
                Some(tool_result_block_delta::Delta::Json(json)) => {
                    self.tool.push_str(&outcrop_contract::json::from_value(&json).to_string());
                }
                None => {}
            }
        }
    }

    /// Ends a block: prints the note about a tool or an image, and marks the citations of a text.
    fn end_block(&mut self) -> io::Result<()> {
        self.notes.end_reasoning();
        if !self.tool.is_empty() {
            let tool = std::mem::take(&mut self.tool);
            self.notes.note(&shortened(tool.trim_end()));
        }
        for number in self.marked + 1..=self.citations.len() {
            self.body.citation(number)?;
        }
        self.marked = self.citations.len();
        if let Some(note) = self.images.end(&self.start.generation_id) {
            self.body.end_before_note()?;
            self.notes.note(&note);
        }
        Ok(())
    }

    fn finish(&mut self, finish: &Finish) -> io::Result<()> {
        self.end_block()?;
        self.body.end()?;
        for (at, citation) in self.citations.iter().enumerate() {
            self.notes.note(&format!("{}: {citation}", at + 1));
        }
        let mut parts = vec![finish.stop_reason_name.clone(), self.start.model_id.clone()];
        if let Some(usage) = &finish.usage {
            parts.push(format!("{} tokens in, {} out", usage.input_tokens(), usage.output_tokens()));
        }
        parts.push(format!("{:.1} s", self.started.elapsed().as_secs_f64()));
        self.notes.note(&parts.join(" · "));
        Ok(())
    }
}

/// A text with at most [`MAX_RESULT`] characters.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_RESULT) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

impl<B: Body, N: Write> Printer for TextPrinter<B, N> {
    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        if !matches!(chunk.event, Some(Event::Start(_) | Event::Heartbeat(_)) | None) {
            self.notes.end_wait();
        }
        match chunk.event {
            Some(Event::Start(start)) => self.start = *start,
            Some(Event::Text(text)) => self.text(&text)?,
            Some(Event::Reasoning(reasoning)) => self.reasoning(reasoning)?,
            Some(Event::ToolUseStart(tool)) => self.begin_tool(format!("tool {} ", tool.name))?,
            Some(Event::ToolUseInput(input)) => self.tool.push_str(&input),
            Some(Event::ToolResultStart(result)) => {
                let failed = if result.status == "error" { " (error)" } else { "" };
                self.begin_tool(format!("tool result{failed}: "))?;
            }
            Some(Event::ToolResult(result)) => self.tool_result(result),
            Some(Event::Citation(citation)) => self.citations.push(citations::described(&citation)),
            Some(Event::ImageStart(image)) => self.images.begin(image.format),
            Some(Event::Image(image)) => self.images.add(image),
            Some(Event::BlockStop(_)) => self.end_block()?,
            Some(Event::Finish(finish)) => self.finish(&finish)?,
            Some(Event::Native(_) | Event::Other(_) | Event::Heartbeat(_)) | None => {}
        }
        Ok(())
    }

    fn cut_off(&mut self) -> io::Result<bool> {
        self.notes.end_wait();
        self.notes.end_reasoning();
        self.body.end()?;
        Ok(self.has_printed)
    }

    fn wait(&mut self) {
        self.notes.wait(self.started.elapsed());
    }

    fn hide_wait(&mut self) {
        self.notes.hide_wait();
    }
}

#[cfg(test)]
mod tests;
