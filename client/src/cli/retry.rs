//! Retries of a call: only those that the server allows with RetryInfo, after the delay that it names.

use std::io;

use super::{CommonArgs, failure::Failure};
use crate::terminal::Output;

/// The retries of one call.
pub(super) struct Retries {
    limit: u32,
    made: u32,
    is_quiet: bool,
}

impl Retries {
    pub(super) fn of(args: &CommonArgs) -> Self {
        Self { limit: args.retry, made: 0, is_quiet: args.quiet }
    }

    /// Waits for the next attempt. Returns the failure if a retry is not allowed, cannot help, or all have been made.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        let retryable = failure.call().filter(|call| self.made < self.limit && !call.is_after_content());
        let Some((delay, reason)) = retryable.and_then(|call| Some((call.retry_delay?, &call.reason))) else {
            return Err(failure);
        };
        self.made += 1;
        if !self.is_quiet {
            let note =
                format!("[{reason}: retry {} of {} in {}]\n", self.made, self.limit, humantime::format_duration(delay));
            // The call is retried even if the note cannot be written.
            let _ = Output::of(io::stderr()).text(&note);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
