//! Logs to standard error. Standard output has only what the program promises to print.
//!
//! `lines` writes them as text or as JSON.
//!
//! No log line has a prompt, a completion or a credential, unless the filter names the crates of the AWS SDK, which trace whole requests.

#[cfg(test)]
pub(crate) mod captured;
mod lines;

use std::{fmt, io::stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Targets,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

pub use self::lines::LogFormat;

/// The prefix of the names of the SDK's crates.
const SDK: &str = "aws";

/// The beginnings of the names of crates that log.
const CRATES: [&str; 14] = [
    "outcrop",
    "aws",
    "axum",
    "bedrock_emulator",
    "h2",
    "hyper",
    "mio",
    "redb",
    "redis",
    "rustls",
    "tokio",
    "tonic",
    "tower",
    "want",
];

/// Both filters: which lines are logged.
type Filters = Box<dyn Layer<Registry> + Send + Sync>;

/// The filter of a process that logs. Clones share it.
#[derive(Clone)]
pub struct LogFilter(Handle<Filters, Registry>);

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFilter").finish_non_exhaustive()
    }
}

impl LogFilter {
    /// Replaces the filter.
    ///
    /// # Errors
    /// If it cannot be parsed; the filter then stays the same.
    pub fn replace(&self, filter: &str) -> Result<(), String> {
        let filters = filters(filter)?;
        // Fails only if the process logs with another subscriber, as in tests.
        let _ = self.0.reload(filters);
        Ok(())
    }
}

/// Starts logging in this format, with this filter, such as `info` or `outcrop=debug,warn`. A second call has no effect.
///
/// # Errors
/// If the filter cannot be parsed.
pub fn start(filter: &str, format: LogFormat) -> Result<LogFilter, String> {
    let (filters, handle) = reload::Layer::new(filters(filter)?);
    // Fails only if logging was started already, as in tests.
    let _ = tracing_subscriber::registry().with(filters).with(lines::lines(format, stderr)).try_init();
    Ok(LogFilter(handle))
}

/// Checks a filter.
///
/// # Errors
/// If it cannot be parsed, or names a crate that is not part of the program, so that nothing would be logged. The text completes the
/// sentence "the filter is ..., ".
pub fn check(filter: &str) -> Result<(), String> {
    EnvFilter::builder().parse(filter).map_err(|error| format!("which cannot be parsed: {error}"))?;
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        let name = target.split("::").next().unwrap_or_default();
        let is_known = name.is_empty() || CRATES.iter().any(|known| name.starts_with(known) || known.starts_with(name));
        if !is_known && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "and no crate of the program is called {name}. Write a level (error, warn, info, debug, trace, off), or CRATE=LEVEL, such as outcrop=debug,warn"
            ));
        }
    }
    Ok(())
}

fn filters(filter: &str) -> Result<Filters, String> {
    check(filter)?;
    let parsed = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let most_verbose = EnvFilter::max_level_hint(&parsed).unwrap_or(LevelFilter::TRACE);
    // In this order what the filter never logs is never asked about again, and each frame passes dozens of such lines in the HTTP crates.
    Ok(Box::new(sdk_limit(filter, most_verbose).and_then(parsed)))
}

/// Keeps the crates of the SDK at `info`, except crates that the filter names.
///
/// This is a second filter, because directives of the first can enable the SDK: `trace` applies to all crates, and a directive for a span,
/// such as `[try_op]=trace`, to all events in the span. Nothing of the first is more verbose than `most_verbose`.
fn sdk_limit(filter: &str, most_verbose: LevelFilter) -> Targets {
    let mut targets = Targets::new().with_default(most_verbose).with_target(SDK, LevelFilter::INFO);
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
    fn a_filter_that_would_log_nothing_is_refused() {
        for filter in
            ["info", "INFO", "off", "outcrop=debug,warn", "aws=trace", "[call]=debug", "h2", "outcrop::edge=trace", "3"]
        {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        for filter in ["json", "text", "verbose", "info,json", "everything=trace"] {
            let problem = check(filter).unwrap_err();
            assert!(problem.contains("no crate of the program is called"), "{filter}: {problem}");
        }
        assert!(check("[").unwrap_err().contains("cannot be parsed"));
        assert!(check("outcrop=loud").unwrap_err().contains("cannot be parsed"));
    }

    #[test]
    fn a_filter_is_replaced_while_the_process_logs() {
        let (layer, handle) = reload::Layer::new(filters("off").unwrap());
        let subscriber = tracing_subscriber::registry().with(layer);
        let filter = LogFilter(handle);
        tracing::subscriber::with_default(subscriber, || {
            let is_logged = || tracing::enabled!(target: "outcrop", Level::INFO);
            assert!(!is_logged());
            filter.replace("info").unwrap();
            assert!(is_logged());
            filter.replace("json").unwrap_err();
            assert!(is_logged(), "a wrong filter changes nothing");
        });
    }

    #[test]
    fn what_the_filter_does_not_log_is_known_without_asking_it() {
        for (filter, most_verbose) in [
            ("info", LevelFilter::INFO),
            ("outcrop=debug,warn", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
            ("[call{id}]=trace,warn", LevelFilter::TRACE),
        ] {
            assert_eq!(filters(filter).unwrap().max_level_hint(), Some(most_verbose), "{filter}");
        }
        let never = tracing::callsite!(name: "x", kind: tracing::metadata::Kind::EVENT, level: Level::TRACE, fields:);
        let interest = filters("info").unwrap().register_callsite(tracing::Callsite::metadata(never));
        assert!(interest.is_never(), "{interest:?}");
    }

    #[test]
    fn the_sdk_is_limited_crate_by_crate() {
        let limit = |filter: &str, target: &str| {
            let targets = sdk_limit(filter, LevelFilter::TRACE);
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
