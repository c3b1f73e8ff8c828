//! Collects the violations of a request, so that the caller gets all of them at once, and has the checks that many fields share.

use std::fmt::Display;

use crate::error::{Error, Reason, Violation};

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Violations {
    kept: Vec<Violation>,
    /// The number of violations beyond the limit: a small request can have very many.
    more: usize,
}

/// The most violations that are kept.
const MOST: usize = 100;

impl Violations {
    /// Adds a violation of a field.
    pub(super) fn add(&mut self, field: impl Display, description: impl Into<String>) {
        if self.kept.len() < MOST {
            self.kept.push(Violation { field: field.to_string(), description: description.into() });
        } else {
            self.more += 1;
        }
    }

    /// Adds a violation of a `oneof` that is unset, or set to a member that this server does not know.
    pub(super) fn nothing_known(&mut self, field: impl Display, such_as: &str) {
        self.add(field, format!("has no member that this server knows. Set one of them, such as {such_as}"));
    }

    /// Checks a required string.
    pub(super) fn not_empty(&mut self, field: impl Display, value: &str, what: &str) {
        if value.is_empty() {
            self.add(field, format!("is not set. It must be {what}"));
        }
    }

    /// Checks text that must not be blank.
    pub(super) fn not_blank(&mut self, field: impl Display, value: &str) {
        if value.trim().is_empty() {
            self.add(field, "is blank. Bedrock refuses blank text: write something, or leave it out");
        }
    }

    /// Checks the length of a string, in characters, and its characters.
    pub(super) fn characters(
        &mut self,
        field: impl Display,
        value: &str,
        (least, most): (usize, usize),
        (allowed, named): (impl Fn(char) -> bool, &str),
    ) {
        let length = value.chars().count();
        if !(least..=most).contains(&length) {
            self.add(field, format!("has {length} characters; it must have {least} to {most}"));
        } else if let Some(wrong) = value.chars().find(|character| !allowed(*character)) {
            self.add(field, format!("holds {wrong:?}; allowed are {named}"));
        }
    }

    /// Checks the length of a list.
    pub(super) fn at_most(&mut self, field: impl Display, count: usize, most: usize) {
        if count > most {
            self.add(field, format!("has {count} entries; at most {most} are allowed"));
        }
    }

    /// `INVALID_REQUEST` if there are violations.
    pub(super) fn into_result(self) -> Result<(), Error> {
        let Self { mut kept, more } = self;
        if kept.is_empty() {
            return Ok(());
        }
        let listed: Vec<_> = kept.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
        if more > 0 {
            kept.push(Violation { field: String::new(), description: format!("and {more} more") });
        }
        Err(Error::new(Reason::InvalidRequest, listed.join("; ")).with_violations(kept))
    }
}
