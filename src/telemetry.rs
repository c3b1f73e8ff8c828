//! Log lines on standard error, so that standard output stays what the program promises to print.
//!
//! Prompts and completions are in no log line, unless the filter names the crates of the AWS SDK, which trace whole
//! requests.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

/// Starts logging what this filter lets through, such as `info` or `outcrop=debug,warn`. A second call changes nothing.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(filter: &str) -> Result<(), ParseError> {
    // The SDK traces whole requests, and with them prompts. Whoever wants that says so by naming its crates.
    let quiet = if filter.contains("aws") { "" } else { ",aws=info" };
    let filter = EnvFilter::builder().parse(format!("{filter}{quiet}"))?;
    // Fails only if something logs already, as it does in tests.
    let _ = fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr).try_init();
    Ok(())
}
