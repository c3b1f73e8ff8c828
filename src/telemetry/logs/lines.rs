//! Log lines as text or as JSON. An event is one line, whatever its values are.

use std::{
    fmt::{self, Write},
    io::IsTerminal,
};

use tracing::Subscriber;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::{
    Layer,
    fmt::{MakeWriter, format::debug_fn, layer},
    registry::LookupSpan,
};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: the time, the level, the message and `field=value`.
    #[default]
    Text,
    /// For machines: an object on each line.
    Json,
}

impl LogFormat {
    /// The format with this name, if there is one.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A layer that writes a line for each event.
pub(super) fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => {
            let fields = debug_fn(|writer, field, value| {
                if field.name() != "message" {
                    write!(writer, "{field}=")?;
                }
                write!(OneLine(writer), "{value:?}")
            });
            let is_terminal = std::io::stderr().is_terminal();
            layer().with_ansi(is_terminal).fmt_fields(fields.delimited(" ")).with_writer(writer).boxed()
        }
        LogFormat::Json => {
            let json = layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
            json.with_writer(writer).boxed()
        }
    }
}

/// Escapes what would end the line or control the terminal: callers choose some of the values.
struct OneLine<'a, W>(&'a mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text is of such characters alone, which are found many at once.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let mut rest = text;
        while let Some(at) = rest.find(breaks) {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            if let Some(escaped) = characters.next() {
                write!(self.0, "{}", escaped.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing::{info, subscriber::with_default};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written for an event with this value, as a field in each way, in the message and in a span.
    fn written(format: LogFormat, value: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(lines(format, move || writer.clone()));
        with_default(subscriber, || {
            let span = tracing::info_span!("call", of_span = value);
            span.in_scope(|| info!(quoted = value, shown = %value, debugged = ?value, "said {value}"));
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Values that break lines, quotes and terminals.
    fn hostile() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            Just("\n".to_owned()),
            Just("\r\n2026-01-01T00:00:00Z  WARN outcrop: refused".to_owned()),
            Just("\u{1b}[2J\u{1b}[31m".to_owned()),
            Just("\u{9b}31m\u{85}\u{2028}\u{2029}".to_owned()),
            Just("\", \"level\": \"ERROR".to_owned()),
            Just("{}\\\\\u{0}\u{7f}".to_owned()),
            any::<String>(),
        ];
        prop::collection::vec(parts, 0..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_line_of_json_is_one_object_whatever_a_value_is(value in hostile()) {
            let line = written(LogFormat::Json, &value);
            prop_assert_eq!(line.matches('\n').count(), 1, "{}", line);
            let event: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(event["quoted"].as_str(), Some(value.as_str()));
            prop_assert_eq!(event["shown"].as_str(), Some(value.as_str()));
            prop_assert_eq!(&event["message"], &Value::from(format!("said {value}")));
            prop_assert_eq!(event["level"].as_str(), Some("INFO"));
        }

        #[test]
        fn a_line_of_text_is_one_line_without_control_characters_whatever_a_value_is(value in hostile()) {
            let line = written(LogFormat::Text, &value);
            let inner = line.strip_suffix('\n').unwrap();
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            prop_assert!(!inner.contains(breaks), "{:?}", line);
        }
    }

    #[test]
    fn ordinary_values_are_written_as_they_are() {
        let line = written(LogFormat::Text, "Grüße, \"ada\"");
        for part in ["INFO", "quoted=\"Grüße, \\\"ada\\\"\"", "shown=Grüße, \"ada\"", "said Grüße, \"ada\""] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}
