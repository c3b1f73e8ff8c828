//! Notes about an answer on standard error: reasoning, tools, usage, and on a terminal how long the answer has been waited for.

use std::{io::Write, time::Duration};

use crate::terminal::Output;

/// Shows how long something has been waited for.
pub(crate) trait Wait {
    /// Shows the time.
    fn tick(&self, elapsed: Duration);

    /// Removes what is shown until the next time.
    fn hide(&mut self);

    /// Removes what is shown.
    fn clear(&self);
}

/// Where notes go. Errors are ignored, so that the answer is printed all the same.
pub(crate) struct Notes<N> {
    out: Option<Output<N>>,
    /// Whether reasoning is dimmed.
    is_styled: bool,
    /// Whether the last line is reasoning, and whether it has ended.
    reasoning: Option<bool>,
    spinner: Option<Box<dyn Wait>>,
}

impl<N: Write> Notes<N> {
    pub(crate) fn new(out: Option<Output<N>>, is_styled: bool) -> Self {
        Self { out, is_styled, reasoning: None, spinner: None }
    }

    /// Shows a spinner until the answer begins.
    #[cfg(feature = "terminal")]
    pub(crate) fn with_spinner(self, spinner: Option<Box<dyn Wait>>) -> Self {
        Self { spinner, ..self }
    }

    /// Moves the spinner, if the answer has not begun.
    pub(super) fn wait(&self, elapsed: Duration) {
        if let Some(spinner) = &self.spinner {
            spinner.tick(elapsed);
        }
    }

    /// Hides the spinner until it is moved again.
    pub(super) fn hide_wait(&mut self) {
        if let Some(spinner) = &mut self.spinner {
            spinner.hide();
        }
    }

    /// Removes the spinner.
    pub(super) fn end_wait(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.clear();
        }
    }

    /// Writes a note in a line of its own.
    pub(crate) fn note(&mut self, note: &str) {
        self.end_reasoning();
        if let Some(out) = &mut self.out {
            let _ = out.text(&format!("[{note}]\n"));
        }
    }

    /// Writes a piece of reasoning.
    pub(super) fn reasoning(&mut self, text: &str) {
        let Some(out) = &mut self.out else { return };
        if text.is_empty() {
            return;
        }
        if self.reasoning.is_none() && !self.is_styled {
            let _ = out.text("[reasoning]\n");
        }
        self.reasoning = Some(text.ends_with('\n'));
        let _ = if self.is_styled { out.text_between("\u{1b}[2m", text, "\u{1b}[0m") } else { out.text(text) };
    }

    /// Ends the last line of reasoning.
    pub(super) fn end_reasoning(&mut self) {
        if let (Some(false), Some(out)) = (self.reasoning.take(), &mut self.out) {
            let _ = out.text("\n");
        }
    }
}
