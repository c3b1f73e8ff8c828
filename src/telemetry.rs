//! Logs to standard error. Standard output has only what the program promises to print.
//!
//! No log line has a prompt, a completion or a credential, unless the filter names the crates of the AWS SDK, which trace whole requests.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The prefix of the names of the SDK's crates.
const SDK: &str = "aws";

/// Starts logging with this filter, such as `info` or `outcrop=debug,warn`. A second call has no effect.
///
/// # Errors
/// If the filter cannot be parsed.
pub fn start(filter: &str) -> Result<(), ParseError> {
    let lines = fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr);
    let filters = tracing_subscriber::registry().with(EnvFilter::builder().parse(filter)?).with(sdk_limit(filter));
    // Fails only if logging was started already, as in tests.
    let _ = filters.with(lines).try_init();
    Ok(())
}

/// Keeps the crates of the SDK at `info`, except crates that the filter names.
///
/// This is a second filter, because directives of the first can enable the SDK: `trace` applies to all crates, and a directive for a span,
/// such as `[try_op]=trace`, to all events in the span.
fn sdk_limit(filter: &str) -> Targets {
    let mut targets = Targets::new().with_default(LevelFilter::TRACE).with_target(SDK, LevelFilter::INFO);
    for directive in filter.split(',').map(str::trim).filter(|directive| directive.starts_with(SDK)) {
        // A directive with a span is not valid for `Targets`. Its crate stays at `info`.
        if let Ok(named) = directive.parse::<Targets>() {
            targets = targets.with_targets(&named);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_sdk_is_limited_crate_by_crate() {
        let limit = |filter: &str, target: &str| {
            let targets = sdk_limit(filter);
            [Level::TRACE, Level::DEBUG, Level::INFO].into_iter().find(|level| targets.would_enable(target, level))
        };
        for filter in ["trace", "debug,outcrop=trace", "trace,outcrop_aws=debug", "[aws]=trace", "trace,aws_config[x]"]
        {
            for target in ["aws_smithy_runtime::client", "aws_config", "aws_sigv4", "aws_sdk_bedrockruntime"] {
                assert_eq!(limit(filter, target), Some(Level::INFO), "{filter} {target}");
            }
            assert_eq!(limit(filter, "outcrop"), Some(Level::TRACE), "{filter}");
        }
        assert_eq!(limit("trace, aws_config=debug", "aws_config::default"), Some(Level::DEBUG));
        assert_eq!(limit("trace, aws_config=debug", "aws_sigv4"), Some(Level::INFO));
        assert_eq!(limit("info,aws_sigv4", "aws_sigv4::http_request"), Some(Level::TRACE));
        assert_eq!(limit("aws=debug", "aws_runtime"), Some(Level::DEBUG));
        assert_eq!(limit("aws=off", "aws_runtime"), None);
    }
}
