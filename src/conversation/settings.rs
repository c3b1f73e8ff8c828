//! The settings of the storage of conversations, and opening it.

use std::{path::PathBuf, sync::Arc};

use tracing::warn;

pub use super::redis::address::RedisSettings;
use super::{
    embedded::Embedded,
    redis::Redis,
    store::{Probe, Store, StoreError},
};

/// Where conversations are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationSettings {
    /// Conversations are not stored.
    Off,
    /// In memory.
    Memory,
    /// In this file.
    File(PathBuf),
    /// In Redis or Valkey.
    Redis(RedisSettings),
}

/// The reason why the storage cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("conversations cannot be stored in {storage}: {source}. {advice}")]
pub struct OpenError {
    storage: String,
    source: Box<dyn std::error::Error + Send + Sync>,
    advice: &'static str,
}

/// Opens the storage. `None` if conversations are off. If Redis cannot be reached, this is logged, and calls try again.
pub(super) async fn open(settings: &ConversationSettings) -> Result<Option<Arc<dyn Store>>, OpenError> {
    let opened = match settings {
        ConversationSettings::Off => return Ok(None),
        ConversationSettings::Memory => Embedded::in_memory().map(shared),
        ConversationSettings::File(path) => Embedded::open(path).map(shared),
        ConversationSettings::Redis(redis) => return self::redis(redis).await.map(Some),
    };
    opened.map(Some).map_err(|error| {
        let (StoreError::Failed(source) | StoreError::Unknown(source)) = error;
        let (storage, advice) = match settings {
            ConversationSettings::File(path) => (
                path.display().to_string(),
                "It was left unchanged. Move it away, or name another with --conversations",
            ),
            _ => ("memory".to_owned(), "Turn them off with --conversations off"),
        };
        OpenError { storage, source, advice }
    })
}

async fn redis(settings: &RedisSettings) -> Result<Arc<dyn Store>, OpenError> {
    let store = Redis::new(settings.clone());
    match store.probe().await {
        Ok(()) => {}
        Err(Probe::Away(error)) => warn!(
            address = settings.address,
            error, "Redis cannot be reached. Calls with a conversation fail until it can; calls without one are served"
        ),
        Err(Probe::Misconfigured(problem)) => {
            let advice = "Calls without conversations need no Redis: turn them off with --conversations off";
            return Err(OpenError { storage: settings.address.clone(), source: problem.into(), advice });
        }
    }
    Ok(shared(store))
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}
