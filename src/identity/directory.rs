//! All callers, and the settings that are in force with them. A reload replaces them at once: a call sees either all of the old ones or all of
//! the new ones.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use tracing::debug;

use super::{
    Credential, Identity,
    caller::Caller,
    issued::IssuedKeys,
    jwt::{Rejection, Verified, Verifier},
    key::{NewKey, PresentedKey},
    settings::{IdentitySettings, KeySettings},
};
use crate::{
    admission::client::Client,
    error::{Error, Reason},
    in_force::InForce,
};

/// All callers. Clones share them.
#[derive(Clone)]
pub(crate) struct Directory {
    callers: Arc<ArcSwap<Callers>>,
    issued: IssuedKeys,
}

#[derive(Debug)]
struct Callers {
    by_name: HashMap<Arc<str>, Arc<Caller>>,
    /// The caller of each key id, and the place of the key among its keys.
    by_key: HashMap<String, (Arc<Caller>, usize)>,
    by_certificate: HashMap<Arc<str>, Arc<Caller>>,
    verifier: Verifier,
    /// The callers that have tokens, in the order of the configuration: the first that matches is the caller.
    with_tokens: Vec<Arc<Caller>>,
    in_force: Arc<InForce>,
}

/// What a reload did to API keys, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyChanges {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) disabled: Vec<String>,
}

impl KeyChanges {
    /// The changes between two sets of keys, by id.
    fn between(old: &BTreeMap<&str, &KeySettings>, new: &BTreeMap<&str, &KeySettings>) -> Self {
        let same = |key: &KeySettings, keys: &BTreeMap<&str, &KeySettings>| -> Option<bool> {
            keys.get(key.id.as_str()).filter(|known| known.is(&key.id, &key.sha256)).map(|known| known.disabled)
        };
        let ids = |keys: &BTreeMap<&str, &KeySettings>, wanted: &dyn Fn(&KeySettings) -> bool| -> Vec<String> {
            keys.values().filter(|key| wanted(key)).map(|key| key.id.clone()).collect()
        };
        Self {
            added: ids(new, &|key| same(key, old).is_none()),
            removed: ids(old, &|key| same(key, new).is_none()),
            disabled: ids(new, &|key| key.disabled && same(key, old) == Some(false)),
        }
    }
}

/// Why credentials prove nothing. Only a caller that has the secret learns more than [`Refusal::Invalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are not known.
    Invalid,
    /// They were valid until a time in the past.
    Expired,
    /// They are known, and were disabled.
    Revoked,
    /// The keys of the token's issuer cannot be fetched.
    IssuerUnavailable,
}

impl Directory {
    /// # Errors
    /// What is wrong with the issuers of tokens.
    pub(crate) fn new(settings: &IdentitySettings, in_force: Arc<InForce>) -> Result<Self, Vec<String>> {
        let verifier = Verifier::new(&settings.issuers)?;
        let callers = Arc::new(ArcSwap::from_pointee(Callers::new(settings, verifier, in_force)));
        Ok(Self { callers, issued: IssuedKeys::default() })
    }

    /// Replaces all callers and the settings that are in force with them. Calls that run go on, except those whose identity [`Directory::has_revoked`].
    ///
    /// # Errors
    /// What is wrong with the issuers of tokens. Then nothing changes.
    pub(crate) fn replace(
        &self,
        settings: &IdentitySettings,
        in_force: Arc<InForce>,
    ) -> Result<KeyChanges, Vec<String>> {
        let old = self.callers.load_full();
        let verifier = old.verifier.reloaded(&settings.issuers)?;
        verifier.prefetch();
        let new = Arc::new(Callers::new(settings, verifier, in_force));
        let changes = KeyChanges::between(&old.keys(), &new.keys());
        self.issued.retain_of(|name| new.by_name.contains_key(name));
        self.callers.store(new);
        Ok(changes)
    }

    /// Makes an API key of a caller that works until the process ends, or a reload removes the caller. `None` if there is no such caller.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn issue_key(&self, caller: &str) -> Result<Option<NewKey>, Unspecified> {
        let name = self.callers.load().by_name.get(caller).map(|caller| Arc::clone(&caller.name));
        name.map(|name| self.issued.issue(name)).transpose()
    }

    /// Begins to fetch the keys of token issuers. Runs in the runtime.
    pub(crate) fn prefetch(&self) {
        self.callers.load().verifier.prefetch();
    }

    /// The settings that are in force now. A call has its own ([`Identity::in_force`]).
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.callers.load().in_force)
    }

    /// The number of streams that a caller has by its own limit.
    pub(crate) fn max_streams_of(&self, caller: &str) -> Option<usize> {
        self.callers.load().by_name.get(caller)?.client.limits.max_streams
    }

    /// All callers, by name.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let callers = self.callers.load();
        let mut callers: Vec<_> = callers.by_name.values().collect();
        callers.sort_by(|one, other| one.name.cmp(&other.name));
        callers.into_iter().map(|caller| caller.client.clone()).collect()
    }

    /// The identity of a call that needs no credentials: the method is open, or there are no callers. Otherwise `None`.
    pub(crate) fn without_credentials(&self, address: Option<IpAddr>, method_is_open: bool) -> Option<Identity> {
        let callers = self.callers.load();
        let is_open = method_is_open || callers.by_name.is_empty();
        is_open.then(|| Identity::of_address(address, &callers.in_force))
    }

    /// Whether there are no callers, so that the server serves all clients.
    pub(crate) fn is_open(&self) -> bool {
        self.callers.load().by_name.is_empty()
    }

    /// The identity that an API key proves.
    pub(crate) fn by_key(&self, key: &PresentedKey<'_>, now: SystemTime) -> Result<Identity, Refusal> {
        let callers = self.callers.load();
        let found = callers.by_key.get(key.id).and_then(|(caller, at)| Some((caller, caller.keys.get(*at)?)));
        if found.is_none()
            && let Some(issued) = self.issued.get(key.id)
        {
            let caller =
                callers.by_name.get(&issued.caller).filter(|_| key.is(&issued.sha256)).ok_or(Refusal::Invalid)?;
            let credential = Credential::Key { id: key.id.into(), sha256: issued.sha256 };
            return Ok(Identity::of_caller(caller, credential, &callers.in_force));
        }
        // The comparison takes the same time for an id that is not known.
        let known = found.map_or([0; 32], |(_, known)| known.sha256);
        let proved = key.is(&known);
        match found {
            Some(_) if !proved => Err(Refusal::Invalid),
            None => Err(Refusal::Invalid),
            Some((_, known)) if known.disabled => Err(Refusal::Revoked),
            Some((_, known)) if known.has_expired(now) => Err(Refusal::Expired),
            Some((caller, known)) => {
                let credential = Credential::Key { id: known.id.as_str().into(), sha256: known.sha256 };
                Ok(Identity::of_caller(caller, credential, &callers.in_force))
            }
        }
    }

    /// The identity of a caller who has signed with the secret of this API key.
    pub(crate) fn by_signature(&self, key_id: &str, now: SystemTime) -> Result<Identity, Refusal> {
        let callers = self.callers.load();
        let found = callers.by_key.get(key_id).and_then(|(caller, at)| Some((caller, caller.keys.get(*at)?)));
        match found {
            None => Err(Refusal::Invalid),
            Some((_, known)) if known.disabled => Err(Refusal::Revoked),
            Some((_, known)) if known.has_expired(now) => Err(Refusal::Expired),
            Some((caller, known)) => {
                let credential = Credential::Key { id: known.id.as_str().into(), sha256: known.sha256 };
                Ok(Identity::of_caller(caller, credential, &callers.in_force))
            }
        }
    }

    /// The identity of a client certificate that the handshake has verified, by its URI SAN.
    pub(crate) fn by_certificate(&self, uri: &Arc<str>) -> Result<Identity, Refusal> {
        let callers = self.callers.load();
        let caller = callers.by_certificate.get(uri).ok_or(Refusal::Invalid)?;
        Ok(Identity::of_caller(caller, Credential::Certificate { uri: Arc::clone(uri) }, &callers.in_force))
    }

    /// The identity that a token proves. It can wait for the keys of the issuer.
    pub(crate) async fn by_token(&self, token: &str) -> Result<Identity, Refusal> {
        let callers = self.callers.load_full();
        let verified = callers.verifier.verify(token).await.map_err(|rejection| {
            debug!(%rejection, "a token is refused");
            match rejection {
                Rejection::Expired => Refusal::Expired,
                Rejection::IssuerUnavailable(_) => Refusal::IssuerUnavailable,
                _ => Refusal::Invalid,
            }
        })?;
        callers.identity_of(&verified)
    }

    /// Whether an identity no longer exists: its caller, key or certificate was removed or disabled. A credential that has expired is not
    /// revoked, so that a stream that began in time runs to its end.
    pub(crate) fn has_revoked(&self, identity: &Identity) -> bool {
        let callers = self.callers.load();
        let Some(caller) = callers.by_name.get(identity.caller()) else { return !callers.by_name.is_empty() };
        match identity.credential() {
            Credential::None => true,
            Credential::Key { id, sha256 } => {
                let is_issued = || self.issued.get(id).is_some_and(|key| key.caller == caller.name);
                !caller.keys.iter().any(|key| key.is(id, sha256) && !key.disabled) && !is_issued()
            }
            Credential::Certificate { uri } => !caller.certificates.contains(uri),
            Credential::Token { issuer, claims } => !caller.has_token(issuer, claims),
        }
    }
}

impl Directory {
    /// The error of a running call whose identity no longer exists.
    pub(crate) fn revocation() -> Error {
        Error::new(Reason::CredentialsRevoked, "the operator has revoked the credentials of this call")
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("callers", &self.callers.load().by_name.len()).finish_non_exhaustive()
    }
}

impl Callers {
    fn new(settings: &IdentitySettings, verifier: Verifier, in_force: Arc<InForce>) -> Self {
        let (by_name, by_key, by_certificate) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut all = Self { by_name, by_key, by_certificate, verifier, with_tokens: Vec::new(), in_force };
        for settings in &settings.callers {
            let caller = Caller::new(settings);
            for (at, key) in caller.keys.iter().enumerate() {
                all.by_key.insert(key.id.clone(), (Arc::clone(&caller), at));
            }
            for uri in &caller.certificates {
                all.by_certificate.insert(Arc::clone(uri), Arc::clone(&caller));
            }
            if !caller.tokens.is_empty() {
                all.with_tokens.push(Arc::clone(&caller));
            }
            all.by_name.insert(Arc::clone(&caller.name), caller);
        }
        all
    }

    /// All keys, by id.
    fn keys(&self) -> BTreeMap<&str, &KeySettings> {
        self.by_name.values().flat_map(|caller| &caller.keys).map(|key| (key.id.as_str(), key)).collect()
    }

    fn identity_of(&self, token: &Verified) -> Result<Identity, Refusal> {
        let caller = self.with_tokens.iter().find(|caller| caller.has_token(&token.issuer, &token.claims));
        Ok(Identity::of_subject(caller.ok_or(Refusal::Invalid)?, token, &self.in_force))
    }
}

#[cfg(test)]
mod tests;
