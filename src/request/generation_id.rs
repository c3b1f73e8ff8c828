//! The id of a call, the same in its chunks, its log lines and the metadata of its answer.

use uuid::Uuid;

/// The id of one call: a random UUID, made before anything about the call is decided.
#[derive(Clone, Debug)]
pub(crate) struct GenerationId(String);

impl GenerationId {
    /// The response metadata that carries the id.
    pub(crate) const METADATA: &str = "outcrop-generation-id";

    /// An id that no other call has.
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
