//! Collects everything wrong with a request, so that the caller learns of it at once.
//!
//! Used by [`super::check`].

use crate::error::{Error, Reason, Violation};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Violations {
    broken: Vec<Violation>,
    unbuilt: Vec<Violation>,
}

impl Violations {
    /// A field breaks a rule.
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.broken.push(Violation { field: field.into(), description: description.into() });
    }

    /// A field is part of the contract and not built yet.
    pub(super) fn unbuilt(&mut self, field: impl Into<String>) {
        let description = "is not supported by this version of the server. Leave it out".to_owned();
        self.unbuilt.push(Violation { field: field.into(), description });
    }

    /// The verdict. Broken rules come first; fields not built are listed beside them.
    pub(super) fn into_result(self) -> Result<(), Error> {
        let reason = match (self.broken.is_empty(), self.unbuilt.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => Reason::InvalidRequest,
            (true, false) => Reason::FieldNotSupported,
        };
        let all: Vec<_> = self.broken.into_iter().chain(self.unbuilt).collect();
        let listed: Vec<_> = all.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
        Err(Error::new(reason, listed.join("; ")).with_violations(all))
    }
}
