//! The secrets with which callers sign (SigV4). A secret is derived from an API key, so that its owner can make it, and the key cannot be
//! made of it. A server that verifies signatures must know the secret itself: a hash does not verify them.
//!
//! They are in a file that its owner alone can read, with a line for each: the id of the API key, and the secret.

use std::{collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use outcrop_secret_file::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::key::{self, NewKey};

/// What the secrets are derived for, so that nothing else that is derived from a key is the same.
const PURPOSE: &[u8] = b"outcrop sigv4 secret";

/// The characters of a secret: 32 bytes in base64.
const SECRET: usize = 43;

/// The secrets, by the ids of API keys. Clones share them.
#[derive(Clone, Default)]
pub struct SigningSecrets(Arc<HashMap<String, SecretString>>);

impl SigningSecrets {
    /// Reads the lines of a file. Empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// What is wrong with which lines. No secret is quoted.
    pub fn parse(text: &SecretString) -> Result<Self, Vec<String>> {
        let (mut all, mut problems) = (HashMap::new(), Vec::new());
        for (at, line) in text.expose_secret().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = at + 1;
            match line.split_once(char::is_whitespace).map(|(id, secret)| (id, secret.trim())) {
                Some((id, secret)) if key::is_id(id) && secret.len() == SECRET => {
                    if all.insert(id.to_owned(), SecretString::from(secret)).is_some() {
                        problems.push(format!("line {number} has the id {id} of a line before it"));
                    }
                }
                _ => problems.push(format!(
                    "line {number} is not the id of a key and its secret, as outcrop keys new --sigv4 writes it"
                )),
            }
        }
        if problems.is_empty() { Ok(Self(Arc::new(all))) } else { Err(problems) }
    }

    /// The secret of a key.
    pub(crate) fn get(&self, id: &str) -> Option<&SecretString> {
        self.0.get(id)
    }

    /// The number of secrets.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for SigningSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecrets({})", self.len())
    }
}

impl NewKey {
    /// The access key id.
    pub fn access_key_id(&self) -> String {
        format!("{}{}", key::PREFIX, self.id())
    }

    /// The secret access key.
    pub fn signing_secret(&self) -> Zeroizing<String> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.text().as_bytes()), PURPOSE);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(derived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_a_line_for_each_key_and_its_problems_quote_no_secret() {
        let key = NewKey::generate().unwrap();
        let secret = key.signing_secret();
        let line = format!("{} {}", key.id(), secret.as_str());
        let secrets = SigningSecrets::parse(&format!("# ada\n\n{line}\n").into()).unwrap();
        assert_eq!(secrets.get(key.id()).unwrap().expose_secret(), secret.as_str());
        assert!(secrets.get("abcdefghijkm").is_none());
        let twice = SigningSecrets::parse(&format!("{line}\n{line}\nx {}\n{}", secret.as_str(), key.id()).into());
        let problems = twice.unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(!format!("{problems:?} {secrets:?}").contains(secret.as_str()));
    }
}
