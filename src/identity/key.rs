//! API keys: `oc_ID_SECRET`. The id finds the key, and the secret proves it. The server knows only the SHA-256 of a key, so its configuration
//! has no secret. A secret has 256 random bits, so a slow hash would add nothing.

use std::fmt;

use aws_lc_rs::{constant_time, error::Unspecified, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::{Zeroize, Zeroizing};

use crate::digest::{hexadecimal, sha256};

/// The beginning of every key, by which secret scanners find keys in source code.
pub(crate) const PREFIX: &str = "oc_";

/// The length of an id, in characters.
const ID: usize = 12;

/// The length of a secret, in characters: 32 bytes in base64.
const SECRET: usize = 43;

/// The characters of an id.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new API key. It is overwritten when it is dropped.
pub struct NewKey {
    id: String,
    text: Zeroizing<String>,
}

impl NewKey {
    /// A key with a random id and a random secret.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut random = Zeroizing::new([0; 32 + ID]);
        rand::fill(random.as_mut())?;
        let (secret, id) = random.split_at(32);
        // The alphabet has 32 characters, so each is equally likely.
        let id: String = id.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect();
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
        let text = Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
        Ok(Self { id, text })
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key. Print it once, and store it nowhere.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The hash, by which the server knows the key.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(self.text.as_bytes())
    }

    /// The hash for the configuration, as hexadecimal digits.
    pub fn sha256(&self) -> String {
        hexadecimal(&self.hash())
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An API key that a call presents: its id, and the hash of the whole.
pub(crate) struct PresentedKey<'a> {
    pub(crate) id: &'a str,
    sha256: [u8; 32],
}

impl<'a> PresentedKey<'a> {
    /// The key in a text. `None` if the text does not have the form of a key.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_id = is_id(id);
        let is_secret = secret.len() == SECRET
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (is_id && is_secret).then(|| Self { id, sha256: sha256(text.as_bytes()) })
    }

    /// The id of the key in a text.
    pub(crate) fn id_in(text: &str) -> Option<&str> {
        Some(text.strip_prefix(PREFIX)?.split_once('_')?.0).filter(|id| is_id(id))
    }

    /// Whether this is the key of that hash. It takes the same time whatever differs.
    pub(crate) fn is(&self, sha256: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.sha256, sha256).is_ok()
    }
}

impl Drop for PresentedKey<'_> {
    fn drop(&mut self) {
        self.sha256.zeroize();
    }
}

/// A text in which the secret of each API key is replaced.
pub fn without_keys(text: &str) -> String {
    let (mut clean, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(PREFIX) {
        let (before, key) = rest.split_at(at);
        let id_end = PREFIX.len() + ID + 1;
        clean.push_str(before);
        match key.get(..id_end + SECRET).filter(|key| PresentedKey::parse(key).is_some()) {
            Some(key) => {
                clean.push_str(&key[..id_end]);
                clean.push('…');
                rest = &rest[at + key.len()..];
            }
            None => {
                clean.push_str(PREFIX);
                rest = &key[PREFIX.len()..];
            }
        }
    }
    clean + rest
}

/// Whether a text has the form of the id of a key.
pub fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_new_key_is_found_by_its_id_and_proved_by_its_hash() {
        let new = NewKey::generate().unwrap();
        let presented = PresentedKey::parse(new.text()).unwrap();
        assert_eq!(presented.id, new.id());
        assert!(presented.is(&sha256(new.text().as_bytes())));
        assert!(!presented.is(&sha256(b"another")));
        assert!(!format!("{new:?}").contains(&new.text()[PREFIX.len() + ID..]));
    }

    #[test]
    fn the_secrets_of_keys_are_taken_out_of_a_text() {
        let [one, other] = [(); 2].map(|()| NewKey::generate().unwrap());
        let text = format!("oc_ä {} is {:?}, oc_{}", one.text(), other.text(), "x".repeat(60));
        let clean = without_keys(&text);
        let expected = format!("oc_ä oc_{}_… is \"oc_{}_…\", oc_{}", one.id(), other.id(), "x".repeat(60));
        assert_eq!(clean, expected);
    }

    #[test]
    fn keys_differ_and_only_whole_keys_are_read() {
        let keys: BTreeSet<_> = (0..1_000).map(|_| NewKey::generate().unwrap().text().to_owned()).collect();
        assert_eq!(keys.len(), 1_000);
        let key = keys.first().unwrap();
        for length in 0..key.len() {
            assert!(PresentedKey::parse(&key[..length]).is_none(), "{length} characters of a key");
        }
        for wrong in
            [format!("{key}x"), key.replace("oc_", "sk_"), key.to_uppercase(), format!(" {key}"), "ä".repeat(59)]
        {
            assert!(PresentedKey::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
