//! The path of a field, such as `messages[2].content[0].image.format`. It is formatted only for a violation.

use std::fmt;

/// A field below another. It costs nothing until it is displayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// A field of the request.
    pub(super) fn root(name: &'a str) -> Self {
        Self { parent: None, name, index: None }
    }

    /// A field of the message that this field holds.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), name, index: None }
    }

    /// An entry of a list or map field of the message in this field.
    pub(super) fn entry(&'a self, name: &'a str, index: usize) -> Self {
        Self { parent: Some(self), name, index: Some(index) }
    }

    /// An entry of a list field of the request.
    pub(super) fn root_entry(name: &'a str, index: usize) -> Self {
        Self { parent: None, name, index: Some(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}
