//! API keys that the server makes while it runs. They are in no configuration, and end with the process.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::error::Unspecified;
use parking_lot::RwLock;

use super::key::NewKey;

/// The keys. Clones share them.
#[derive(Clone, Default)]
pub(super) struct IssuedKeys(Arc<RwLock<HashMap<String, IssuedKey>>>);

/// A key, of which only the hash is stored.
#[derive(Clone)]
pub(super) struct IssuedKey {
    /// The name of its caller.
    pub(super) caller: Arc<str>,
    pub(super) sha256: [u8; 32],
}

impl IssuedKeys {
    /// Makes a key of a caller.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(super) fn issue(&self, caller: Arc<str>) -> Result<NewKey, Unspecified> {
        let key = NewKey::generate()?;
        self.0.write().insert(key.id().to_owned(), IssuedKey { caller, sha256: key.hash() });
        Ok(key)
    }

    /// The key with this id.
    pub(super) fn get(&self, id: &str) -> Option<IssuedKey> {
        self.0.read().get(id).cloned()
    }

    /// Removes the keys of callers that no longer exist.
    pub(super) fn retain_of(&self, exists: impl Fn(&str) -> bool) {
        self.0.write().retain(|_, key| exists(&key.caller));
    }
}
