//! Shows on a terminal how long an answer has been waited for.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Wait;

/// A spinner with the seconds.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Wait for Spinner {
    fn tick(&self, elapsed: Duration) {
        self.0.set_message(format!("{} s", elapsed.as_secs()));
        self.0.tick();
    }

    fn hide(&mut self) {
        self.clear();
        *self = Self::new();
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
