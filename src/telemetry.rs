//! Log lines on standard error, so that standard output stays what the program promises to print.
//!
//! Prompts, completions and credentials are in no log line, whichever the filter is, unless it names the crates of the AWS SDK, which
//! trace whole requests.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What the names of the SDK's crates begin with.
const SDK: &str = "aws";

/// Starts logging what this filter lets through, such as `info` or `outcrop=debug,warn`. A second call changes nothing.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(filter: &str) -> Result<(), ParseError> {
    let lines = fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr);
    let filters = tracing_subscriber::registry().with(EnvFilter::builder().parse(filter)?).with(sdk_limit(filter));
    // Fails only if something logs already, as it does in tests.
    let _ = filters.with(lines).try_init();
    Ok(())
}

/// Keeps every crate of the SDK at `info`, except those that the filter names, each at the level given for it.
///
/// This is a second filter because no directive of the first can be relied on: `trace` applies to all crates, and a directive for a
/// span, such as `[try_op]=trace`, to every event in that span.
fn sdk_limit(filter: &str) -> Targets {
    let mut targets = Targets::new().with_default(LevelFilter::TRACE).with_target(SDK, LevelFilter::INFO);
    for directive in filter.split(',').map(str::trim).filter(|directive| directive.starts_with(SDK)) {
        // A directive that names spans too is no directive of `Targets`, and leaves its crate at `info`.
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
