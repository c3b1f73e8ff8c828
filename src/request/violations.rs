//! Collects the violations of a request, so that the caller gets all of them at once. Has the checks that many fields share.

use std::{fmt::Display, ops::RangeInclusive};

use crate::error::{Error, Reason, Violation};

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Violations {
    kept: Vec<Violation>,
    /// The number of violations beyond the limit. A small request can have very many.
    more: usize,
}

/// The characters that a field allows.
pub(super) struct CharacterSet {
    /// Whether a character is allowed.
    pub(super) contains: fn(char) -> bool,
    /// The allowed characters, for people.
    pub(super) description: &'static str,
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

    /// Those that are kept, to be changed.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Violation> {
        self.kept.iter_mut()
    }

    /// Adds the problem that a check of a field has found.
    pub(super) fn check<T>(&mut self, field: impl Display, checked: Result<T, String>) {
        if let Err(problem) = checked {
            self.add(field, problem);
        }
    }

    /// Adds a violation of a `oneof` that is unset, or set to a member that this server does not know.
    pub(super) fn nothing_known(&mut self, field: impl Display, such_as: &str) {
        self.add(field, format!("has no member that this server knows. Set one, such as {such_as}"));
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

    /// Checks the length of a string in characters.
    pub(super) fn length(&mut self, field: impl Display, value: &str, allowed: RangeInclusive<usize>) {
        let length = value.chars().count();
        if !allowed.contains(&length) {
            let (least, most) = (allowed.start(), allowed.end());
            self.add(field, format!("has {length} characters; it must have {least} to {most}"));
        }
    }

    /// Checks the length of a string in characters, and then its characters.
    pub(super) fn text(&mut self, field: impl Display, value: &str, length: RangeInclusive<usize>, set: &CharacterSet) {
        if !length.contains(&value.chars().count()) {
            self.length(field, value, length);
        } else if let Some(wrong) = value.chars().find(|character| !(set.contains)(*character)) {
            self.add(field, format!("has the character {wrong:?}; allowed are {}", set.description));
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
