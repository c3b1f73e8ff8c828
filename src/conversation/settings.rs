//! The settings of the storage of conversations, and opening it.

use std::{io, path::PathBuf, sync::Arc};

use tracing::warn;

use super::{
    embedded::{self, Embedded},
    redis::Redis,
    store::{Store, StoreError},
};
pub use crate::redis::address::RedisSettings;
use crate::redis::{Probe, connection::Connection};

/// Where conversations are stored.
#[derive(Clone, Debug)]
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

impl ConversationSettings {
    /// The name of the engine, as a label of metrics.
    pub(super) fn engine(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Memory => "memory",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
        }
    }
}

/// The reason why the storage cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("conversations cannot be stored in {storage}: {problem}")]
pub struct OpenError {
    storage: String,
    /// The cause, and what to do.
    problem: String,
}

impl OpenError {
    /// A file that was opened, and whose content cannot be used.
    pub(super) fn of_file(problem: String) -> Self {
        Self { storage: "the file of --conversations".to_owned(), problem }
    }
}

/// An opened storage.
#[derive(Default)]
pub(super) struct Opened {
    /// `None` if conversations are off.
    pub(super) store: Option<Arc<dyn Store>>,
    /// The connection to Redis, if the storage is one.
    pub(super) redis: Option<Connection>,
}

/// Opens the storage. If Redis cannot be reached, this is logged, and calls try again.
pub(super) async fn open(settings: &ConversationSettings) -> Result<Opened, OpenError> {
    let opened = match settings {
        ConversationSettings::Off => return Ok(Opened::default()),
        ConversationSettings::Memory => Embedded::in_memory().map(shared),
        ConversationSettings::File(path) => Embedded::open(path).map(shared),
        ConversationSettings::Redis(redis) => return self::redis(redis).await,
    };
    opened.map(|store| Opened { store: Some(store), redis: None }).map_err(|error| {
        let (StoreError::Failed(source) | StoreError::Unknown(source)) = error;
        let (storage, advice) = match settings {
            ConversationSettings::File(path) => (path.display().to_string(), advice(source.as_ref())),
            _ => ("memory".to_owned(), ". Turn them off with --conversations off"),
        };
        OpenError { storage, problem: format!("{}{advice}", source.to_string().trim_end_matches('.')) }
    })
}

/// Checks what [`open`] needs, and changes nothing. `outcrop check` reports it.
///
/// # Errors
/// What would fail, and what to do. It has no password.
pub async fn check(settings: &ConversationSettings) -> Result<(), String> {
    match settings {
        ConversationSettings::Off | ConversationSettings::Memory => Ok(()),
        ConversationSettings::File(path) => embedded::check(path).map_err(|error| {
            let storage = path.display();
            format!("conversations cannot be stored in {storage}: {error}")
        }),
        ConversationSettings::Redis(redis) => Connection::new(redis.clone()).probe().await.map_err(|probe| {
            let (Probe::Away(problem) | Probe::Misconfigured(problem)) = probe;
            format!("the Redis at {} cannot be used: {problem}", redis.address)
        }),
    }
}

/// What to do about a file that cannot be opened, as the rest of the message.
fn advice(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match (error.downcast_ref::<redb::DatabaseError>(), error.downcast_ref::<io::Error>()) {
        (Some(redb::DatabaseError::DatabaseAlreadyOpen), _) => {
            ". Stop the other server, or name another file with --conversations"
        }
        // Found before anything was opened. The message has the advice.
        (_, Some(error)) if error.kind() == io::ErrorKind::Other => "",
        (_, Some(_)) => ". Name a file that this server can read and write with --conversations",
        _ => ". It was left unchanged. Move it away, or name another with --conversations",
    }
}

async fn redis(settings: &RedisSettings) -> Result<Opened, OpenError> {
    let connection = Connection::new(settings.clone());
    match connection.probe().await {
        Ok(()) => {}
        Err(Probe::Away(error)) => warn!(
            address = settings.address,
            error, "Redis cannot be reached. Calls with a conversation fail until it can; calls without one are served"
        ),
        Err(Probe::Misconfigured(problem)) => {
            let problem =
                format!("{problem}. Calls without conversations need no Redis: turn them off with --conversations off");
            return Err(OpenError { storage: settings.address.clone(), problem });
        }
    }
    Ok(Opened { store: Some(shared(Redis::new(connection.clone()))), redis: Some(connection) })
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}
