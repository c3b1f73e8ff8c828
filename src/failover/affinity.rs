//! The target that has the prompt cache of requests with the same `cache_key`, as far as this server knows: the one that answered last.
//!
//! A prompt cache belongs to a region. What is forgotten costs one answer without the cache, so memory is bounded simply.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
};

use parking_lot::Mutex;

use super::routes::Target;

/// The keys that are remembered at least. Twice as many are remembered at most.
const KEYS: usize = 50_000;

/// The targets of keys. The newer half and the older half: when the newer one is full, the older one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Affinity {
    hasher: RandomState,
    halves: Mutex<[HashMap<u64, Target>; 2]>,
}

impl Affinity {
    /// The target that answered a request with this key last.
    pub(super) fn target_of(&self, key: &str) -> Option<Target> {
        let key = self.hasher.hash_one(key);
        let halves = self.halves.lock();
        halves.iter().find_map(|half| half.get(&key)).cloned()
    }

    /// Remembers the target that has answered.
    pub(super) fn remember(&self, key: &str, target: Target) {
        let key = self.hasher.hash_one(key);
        let [newer, older] = &mut *self.halves.lock();
        newer.insert(key, target);
        if newer.len() >= KEYS {
            *older = mem::take(newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_keys_are_remembered_and_memory_is_bounded() {
        let affinity = Affinity::default();
        for number in 0..3 * KEYS {
            affinity.remember(&number.to_string(), Target::here(number.to_string()));
            affinity.remember("kept", Target::here("a.b"));
        }
        assert_eq!(affinity.target_of("kept"), Some(Target::here("a.b")));
        let newest = 3 * KEYS - KEYS / 2;
        assert_eq!(affinity.target_of(&newest.to_string()), Some(Target::here(newest.to_string())));
        assert_eq!(affinity.target_of("0"), None);
        assert!(affinity.halves.lock().iter().map(HashMap::len).sum::<usize>() <= 2 * KEYS);
    }
}
