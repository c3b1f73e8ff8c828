//! Where conversations are stored, and how that place is opened.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    embedded::Embedded,
    redis::Redis,
    store::{Store, StoreError},
};

/// Where conversations are stored.
#[derive(Clone, PartialEq, Eq)]
pub enum ConversationSettings {
    /// Nowhere.
    Off,
    /// In memory.
    Memory,
    /// In this file.
    File(PathBuf),
    /// In the Redis or Valkey at this address.
    Redis(String),
}

/// The address may hold a password.
impl fmt::Debug for ConversationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Memory => f.write_str("Memory"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Redis(_) => f.write_str("Redis"),
        }
    }
}

/// Why conversations cannot be stored at a place.
#[derive(Debug, thiserror::Error)]
#[error("conversations cannot be stored in {place}: {source}. {advice}")]
pub struct OpenError {
    place: String,
    source: Box<dyn std::error::Error + Send + Sync>,
    advice: &'static str,
}

/// Opens the place. `None` if conversations are off.
pub(super) fn open(settings: &ConversationSettings) -> Result<Option<Arc<dyn Store>>, OpenError> {
    let opened = match settings {
        ConversationSettings::Off => return Ok(None),
        ConversationSettings::Memory => Embedded::in_memory().map(shared),
        ConversationSettings::File(path) => Embedded::open(path).map(shared),
        ConversationSettings::Redis(url) => Redis::at(url).map(shared),
    };
    opened.map(Some).map_err(|error| {
        let (StoreError::Failed(source) | StoreError::Unknown(source)) = error;
        let (place, advice) = match settings {
            ConversationSettings::File(path) => {
                (path.display().to_string(), "It was left as it is. Move it away, or name another with --conversations")
            }
            // The address may hold a password.
            ConversationSettings::Redis(_) => ("Redis".to_owned(), "Write redis://HOST:PORT/DATABASE"),
            _ => ("memory".to_owned(), "Turn them off with --conversations off"),
        };
        OpenError { place, source, advice }
    })
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}
