//! The members of a line of the audit log. Empty ones are left out, and long ones are cut: callers choose some of them.

use std::time::SystemTime;

use serde_json::{Map, Value};

/// The maximum length of a text, in bytes.
const MAX_TEXT: usize = 512;

/// Some members of a line.
#[derive(Debug, Default)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        if !text.is_empty() {
            self.0.insert(name.to_owned(), Value::from(&text[..text.floor_char_boundary(MAX_TEXT)]));
        }
        self
    }

    pub(super) fn number(mut self, name: &str, number: u64) -> Self {
        self.0.insert(name.to_owned(), number.into());
        self
    }
}

/// A line.
#[derive(Debug)]
pub(super) struct Line(Members);

impl Line {
    /// A line about this event, which happens now.
    pub(super) fn new(event: &str) -> Self {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Self(Members::default().text("time", &time).text("event", event))
    }

    pub(super) fn text(self, name: &str, text: &str) -> Self {
        Self(self.0.text(name, text))
    }

    pub(super) fn number(self, name: &str, number: u64) -> Self {
        Self(self.0.number(name, number))
    }

    pub(super) fn texts(mut self, name: &str, texts: &[String]) -> Self {
        if !texts.is_empty() {
            self.0.0.insert(name.to_owned(), texts.into());
        }
        self
    }

    pub(super) fn members(mut self, Members(members): Members) -> Self {
        self.0.0.extend(members);
        self
    }

    /// The line with its end. JSON has no line ends in it, so no value can begin a line of its own.
    pub(super) fn into_text(self) -> String {
        format!("{}\n", Value::Object(self.0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own_and_long_ones_are_cut() {
        let line = Line::new("call").text("a", "x\n{\"event\":\"forged\"}").text("b", &"ä".repeat(1_000)).text("c", "");
        let text = line.into_text();
        assert_eq!(text.matches('\n').count(), 1);
        let members: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(members["a"], "x\n{\"event\":\"forged\"}");
        assert_eq!(members["b"].as_str().unwrap().len(), MAX_TEXT);
        assert!(!members.contains_key("c") && members["time"].as_str().unwrap().ends_with('Z'));
    }
}
