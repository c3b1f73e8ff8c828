//! Verifies the tokens (JWT) of OpenID Connect providers and other issuers that publish their keys.
//!
//! A token is accepted if its issuer is configured, it has one of the issuer's algorithms, a present key of the issuer made its signature,
//! and its claims hold: `iss` and `aud` exactly, `exp`, `nbf`, `sub`. The signature is verified before the claims are checked, so only
//! the holder of a genuine token learns what is wrong with it.
//!
//! - [`settings`] the settings of an issuer
//! - `token` reads the parts of a token
//! - `claims` checks the claims
//! - `keys` the keys of an issuer, and signatures
//! - `issuer` when keys are fetched, and who waits
//! - `fetch` fetches them over HTTPS
//! - `cache` tokens that have been verified
//! - `clock` the time of day

mod cache;
mod claims;
mod clock;
mod fetch;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod issuer;
mod keys;
pub mod settings;
mod token;

use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use self::{
    cache::{Cache, Entry, TokenHash},
    clock::Clock,
    fetch::{Bounds, Fetcher},
    issuer::Issuer,
    settings::IssuerSettings,
    token::Token,
};
use super::Claims;
use crate::outbound::Proxies;

/// Verifies tokens. Clones share the keys and the cache; the last one ends fetches that are running.
#[derive(Clone, Debug)]
pub(crate) struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuers: HashMap<Arc<str>, Arc<Issuer>>,
    /// Verifiers of other settings share it: an entry counts for the issuer whose keys verified it, and no other.
    cache: Arc<Cache>,
    clock: Clock,
}

/// The content of a token that has been verified.
#[derive(Clone)]
pub(crate) struct Verified {
    /// `iss`: one of the configured issuers.
    pub(crate) issuer: Arc<str>,
    /// `sub`. It is not empty, and unique among the tokens of the issuer.
    pub(crate) subject: String,
    /// `exp`. The token is accepted for a minute longer, because clocks differ.
    pub(crate) expires_at: SystemTime,
    /// All claims.
    pub(crate) claims: Arc<Claims>,
}

/// Why a token is refused. The messages are for the log: a caller is told less.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("this is not a JWT")]
    NotAToken,
    #[error("the JWT is longer than {} bytes, cannot be read, or demands what is not supported", token::MAX_BYTES)]
    Malformed,
    #[error("the `iss` of the JWT is not a configured issuer")]
    UnknownIssuer,
    #[error("the algorithm of the JWT is not accepted from its issuer, or is not that of its key")]
    Algorithm,
    #[error("the issuer does not publish the key of the JWT (`kid`)")]
    UnknownKey,
    #[error("the signature of the JWT is not that of its issuer")]
    Signature,
    #[error("the JWT is not for this server: its `aud` has none of the issuer's `audiences`")]
    Audience,
    #[error("the JWT has expired")]
    Expired,
    #[error("the JWT is not valid yet (`nbf`)")]
    NotYetValid,
    #[error("the JWT has no `{0}`")]
    MissingClaim(&'static str),
    #[error("the keys of the issuer cannot be fetched: {0}")]
    IssuerUnavailable(String),
}

impl Verifier {
    /// A verifier for these issuers. It fetches no keys yet: an issuer that is down does not stop the server.
    ///
    /// # Errors
    /// What is wrong with the settings, each with what to do.
    pub(crate) fn new(settings: &[IssuerSettings]) -> Result<Self, Vec<String>> {
        Self::with(settings, None, Clock::system(), Bounds::default())
    }

    /// A verifier for other settings. Issuers whose settings are the same keep their keys, and their tokens stay verified; running
    /// verifications end as they began.
    ///
    /// # Errors
    /// What is wrong with the settings, each with what to do.
    pub(crate) fn reloaded(&self, settings: &[IssuerSettings]) -> Result<Self, Vec<String>> {
        Self::with(settings, Some(&self.0), self.0.clock.clone(), Bounds::default())
    }

    fn with(
        settings: &[IssuerSettings],
        previous: Option<&Inner>,
        clock: Clock,
        bounds: Bounds,
    ) -> Result<Self, Vec<String>> {
        let mut problems = settings::problems(settings);
        if !problems.is_empty() {
            return Err(problems);
        }
        let needs_system = settings.iter().any(|issuer| issuer.ca.is_none());
        let system = if needs_system { fetch::system_roots() } else { Vec::new() };
        let mut issuers = HashMap::new();
        for settings in settings {
            let name = settings.issuer.as_str();
            let issuer = match previous
                .and_then(|previous| previous.issuers.get(name))
                .filter(|known| known.settings() == settings)
            {
                Some(known) => Ok(Arc::clone(known)),
                None => Fetcher::new(settings, &system, bounds, Proxies::from_env())
                    .map(|fetcher| Arc::new(Issuer::new(settings.clone(), fetcher))),
            };
            match issuer {
                Ok(issuer) => drop(issuers.insert(Arc::from(name), issuer)),
                Err(problem) => problems.push(format!("the issuer `{name}`: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let cache = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.cache));
        Ok(Self(Arc::new(Inner { issuers, cache, clock })))
    }

    /// Begins to fetch the keys of all issuers, so that the first calls do not wait and the log says which issuer does not answer. Runs in
    /// the runtime.
    pub(crate) fn prefetch(&self) {
        self.0.issuers.values().for_each(|issuer| issuer.prefetch());
    }

    /// Verifies a token. Waits at most for one fetch of keys, which is bounded in time. A caller may leave at any time: the fetch goes on
    /// for others.
    ///
    /// # Errors
    /// Why the token is refused.
    pub(crate) async fn verify(&self, token: &str) -> Result<Verified, Rejection> {
        if token.len() > token::MAX_BYTES {
            return Err(Rejection::Malformed);
        }
        let hash = TokenHash::of(token);
        if let Some(verified) = self.cached(hash) {
            return Ok(verified);
        }
        let token = Token::parse(token)?;
        let (name, issuer) = self.0.issuers.get_key_value(token.issuer()?).ok_or(Rejection::UnknownIssuer)?;
        if !issuer.settings().algorithms.contains(&token.algorithm) {
            return Err(Rejection::Algorithm);
        }
        let keys = issuer.keys_for(&token).await?;
        keys.verify(&token)?;
        let checked = claims::check(&token.claims, &issuer.settings().audiences, self.0.clock.now())?;
        let verified = Arc::new(Verified {
            issuer: Arc::clone(name),
            subject: checked.subject,
            expires_at: checked.expires_at,
            claims: Arc::new(token.claims),
        });
        self.0.cache.insert(hash, Entry { verified: Arc::clone(&verified), keys });
        Ok(Verified::clone(&verified))
    }

    /// A token that has been verified before, if it has not expired and its issuer has the same keys as then.
    fn cached(&self, hash: TokenHash) -> Option<Verified> {
        let Entry { verified, keys } = self.0.cache.get(hash)?;
        let issuer = self.0.issuers.get(&verified.issuer)?;
        let valid = issuer.still_has(&keys) && !claims::has_expired(verified.expires_at, self.0.clock.now());
        valid.then(|| Verified::clone(&verified))
    }
}

/// Claims can say a lot about a person.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, expires_at, .. } = self;
        f.debug_struct("Verified").field("issuer", issuer).field("expires_at", expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
