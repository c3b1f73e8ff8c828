//! Collects everything wrong with a request, so that the caller learns of it at once; and the checks that many fields share.

use std::fmt::Display;

use crate::error::{Error, Reason, Violation};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Violations {
    kept: Vec<Violation>,
    /// How many more there are: a small request can break a great many rules.
    more: usize,
}

/// The most violations that are kept.
const MOST: usize = 100;

impl Violations {
    /// A field breaks a rule.
    pub(super) fn add(&mut self, field: impl Display, description: impl Into<String>) {
        if self.kept.len() < MOST {
            self.kept.push(Violation { field: field.to_string(), description: description.into() });
        } else {
            self.more += 1;
        }
    }

    /// A message whose kind is a choice has none, or one newer than this server.
    pub(super) fn nothing_known(&mut self, field: impl Display, such_as: &str) {
        self.add(field, format!("holds nothing that this server knows. Set one of its kinds, such as {such_as}"));
    }

    /// A string that must be there.
    pub(super) fn not_empty(&mut self, field: impl Display, value: &str, what: &str) {
        if value.is_empty() {
            self.add(field, format!("is not set. It must be {what}"));
        }
    }

    /// Text that Bedrock refuses if it is blank.
    pub(super) fn not_blank(&mut self, field: impl Display, value: &str) {
        if value.trim().is_empty() {
            self.add(field, "is blank. Bedrock refuses blank text: write something, or leave it out");
        }
    }

    /// A string of a limited length, in characters, whose characters are limited too.
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

    /// A list of a limited length.
    pub(super) fn at_most(&mut self, field: impl Display, count: usize, most: usize) {
        if count > most {
            self.add(field, format!("has {count} entries; at most {most} are allowed"));
        }
    }

    /// The verdict.
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
