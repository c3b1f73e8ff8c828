//! Tokens that have been verified, because a caller sends the same token with many calls and a signature costs more than a hash.
//!
//! The cache has two generations of entries. New entries go into the young one; after [`HALF_LIFE`] it becomes the old one, and the entries
//! of the old one are gone. So an entry stays for one to two half-lives. Full means full: an entry never displaces another one, and a
//! subject has a few entries alone. A caller with many tokens thus makes its own calls slower and those of no other caller.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    mem,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Verified, keys::KeySet};
use crate::digest::sha256;

/// After this time the young generation becomes the old one.
const HALF_LIFE: Duration = Duration::from_mins(2);

/// The maximum number of entries of a generation.
const MAX_ENTRIES: usize = 5_000;

/// The maximum size of the tokens of the entries of a generation, in bytes. Their claims need several times as much.
const MAX_TOKEN_BYTES: usize = 8 << 20;

/// The maximum number of entries of a subject in a generation. Instances of one service share a subject, each with a token of its own.
const MAX_ENTRIES_OF_SUBJECT: u16 = 50;

/// The SHA-256 of a token, and its size in bytes. The cache does not keep tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenHash {
    sha256: [u8; 32],
    bytes: usize,
}

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self { sha256: sha256(token.as_bytes()), bytes: token.len() }
    }
}

/// A token that has been verified, and the keys that did it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) verified: Arc<Verified>,
    pub(super) keys: Arc<KeySet>,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug)]
struct Generation {
    since: Instant,
    entries: HashMap<TokenHash, Entry>,
    /// The size of their tokens.
    bytes: usize,
    /// The number of entries of each subject, by the hash of its name.
    subjects: HashMap<u64, u16>,
}

impl Default for Generation {
    fn default() -> Self {
        Self { since: Instant::now(), entries: HashMap::new(), bytes: 0, subjects: HashMap::new() }
    }
}

impl Cache {
    pub(super) fn get(&self, token: TokenHash) -> Option<Entry> {
        let mut generations = self.generations.lock();
        generations.age();
        generations.young.entries.get(&token).or_else(|| generations.old.entries.get(&token)).cloned()
    }

    /// Keeps an entry, unless the cache or the part of its subject is full.
    pub(super) fn insert(&self, token: TokenHash, entry: Entry) {
        let subject = self.hasher.hash_one((&entry.verified.issuer, &entry.verified.subject));
        let mut generations = self.generations.lock();
        generations.age();
        let young = &mut generations.young;
        // An entry is replaced after the keys of its issuer have changed.
        if let Some(replaced) = young.entries.get_mut(&token) {
            *replaced = entry;
            return;
        }
        let of_subject = young.subjects.get(&subject).copied().unwrap_or_default();
        let bytes = young.bytes + token.bytes;
        if young.entries.len() < MAX_ENTRIES && bytes <= MAX_TOKEN_BYTES && of_subject < MAX_ENTRIES_OF_SUBJECT {
            young.bytes = bytes;
            young.subjects.insert(subject, of_subject + 1);
            young.entries.insert(token, entry);
        }
    }
}

impl Generations {
    fn age(&mut self) {
        let age = self.young.since.elapsed();
        if age >= HALF_LIFE {
            self.old = mem::take(&mut self.young);
        }
        if age >= 2 * HALF_LIFE {
            self.old = Generation::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;
    use tokio::time::advance;

    use super::*;

    fn entry(subject: &str) -> Entry {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        Entry {
            verified: Arc::new(Verified {
                issuer: Arc::from("https://id.example.com"),
                subject: subject.to_owned(),
                expires_at: SystemTime::now(),
                claims: Arc::default(),
            }),
            keys: Arc::new(KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap()),
        }
    }

    fn token(at: usize) -> TokenHash {
        TokenHash::of(&at.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_stays_for_one_to_two_half_lives() {
        let cache = Cache::default();
        cache.insert(token(0), entry("ada"));
        advance(HALF_LIFE / 2).await;
        cache.insert(token(1), entry("ada"));
        advance(HALF_LIFE).await;
        assert!(cache.get(token(0)).is_some() && cache.get(token(1)).is_some());
        advance(HALF_LIFE).await;
        assert!(cache.get(token(0)).is_none() && cache.get(token(1)).is_none());
        cache.insert(token(2), entry("ada"));
        advance(10 * HALF_LIFE).await;
        assert!(cache.get(token(2)).is_none(), "an idle cache forgets too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_subject_with_many_tokens_displaces_none_of_another() {
        let cache = Cache::default();
        cache.insert(token(0), entry("ada"));
        for at in 1..=2 * MAX_ENTRIES {
            cache.insert(token(at), entry("eve"));
        }
        assert!(cache.get(token(0)).is_some());
        cache.insert(token(usize::MAX), entry("bob"));
        assert!(cache.get(token(usize::MAX)).is_some(), "there is room for others");
        let kept = (1..=2 * MAX_ENTRIES).filter(|at| cache.get(token(*at)).is_some()).count();
        assert_eq!(kept, usize::from(MAX_ENTRIES_OF_SUBJECT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_stays_as_it_is() {
        let cache = Cache::default();
        for at in 0..2 * MAX_ENTRIES {
            cache.insert(token(at), entry(&at.to_string()));
        }
        assert_eq!((0..2 * MAX_ENTRIES).filter(|at| cache.get(token(*at)).is_some()).count(), MAX_ENTRIES);
        assert!(cache.get(token(0)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn large_tokens_fill_the_cache_sooner() {
        let (cache, padding) = (Cache::default(), "a".repeat(8_000));
        let token = |at: usize| TokenHash::of(&format!("{padding}{at:04}"));
        for at in 0..MAX_ENTRIES {
            cache.insert(token(at), entry(&at.to_string()));
        }
        let kept = (0..MAX_ENTRIES).filter(|at| cache.get(token(*at)).is_some()).count();
        assert_eq!(kept, MAX_TOKEN_BYTES / 8_004);
    }
}
