//! A configured caller as the server uses it.

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;

use super::{
    Claims, Permissions,
    owner::{self, UNOWNED},
    settings::{CallerSettings, ImposedSettings, KeySettings, TokenSettings},
};
use crate::admission::client::{Client, ClientId};

/// A configured caller.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) tenant: Arc<str>,
    pub(crate) client: Client,
    pub(crate) permissions: Permissions,
    pub(super) imposed: ImposedSettings,
    pub(super) keys: Vec<KeySettings>,
    pub(super) certificates: Vec<Arc<str>>,
    pub(super) tokens: Vec<TokenSettings>,
    /// The owner of the conversations of its keys and certificates. It is made once, because every call has it.
    pub(super) owner: Arc<str>,
}

impl Caller {
    pub(super) fn new(settings: &CallerSettings) -> Arc<Self> {
        let name: Arc<str> = settings.name.as_str().into();
        let adopts = settings.adopts_unowned_conversations;
        Arc::new(Self {
            owner: if adopts { UNOWNED.into() } else { owner::of_caller(&settings.tenant, &settings.name).into() },
            tenant: settings.tenant.as_str().into(),
            client: Client {
                id: ClientId::Caller(Arc::clone(&name)),
                limits: settings.limits,
                queue_share: settings.queue_share,
                budget: settings.budget,
            },
            permissions: Permissions::new(&settings.permissions),
            imposed: settings.imposed.clone(),
            keys: settings.keys.clone(),
            certificates: settings.certificates.iter().map(|uri| uri.as_str().into()).collect(),
            tokens: settings.tokens.clone(),
            name,
        })
    }

    /// Whether a token of this issuer with these claims is one of the caller's.
    pub(super) fn has_token(&self, issuer: &str, claims: &Claims) -> bool {
        self.tokens.iter().any(|tokens| tokens.matches(issuer, claims))
    }
}

impl TokenSettings {
    /// Whether a token with these claims is one of the caller's.
    pub(super) fn matches(&self, issuer: &str, claims: &Claims) -> bool {
        let has = |(name, wanted): (&String, &String)| match claims.get(name) {
            Some(Value::String(value)) => value == wanted,
            Some(Value::Array(values)) => values.iter().any(|value| value.as_str() == Some(wanted)),
            _ => false,
        };
        self.issuer == issuer && self.claims.iter().all(has)
    }
}

impl KeySettings {
    /// Whether this is the key of that id and that hash.
    pub(super) fn is(&self, id: &str, sha256: &[u8; 32]) -> bool {
        self.id == id && self.sha256 == *sha256
    }

    /// Whether the key has expired.
    pub(super) fn has_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_a_callers_if_it_has_every_claim_with_its_value() {
        let claims = [("groups".to_owned(), "billing".to_owned()), ("env".to_owned(), "prod".to_owned())].into();
        let tokens = TokenSettings { issuer: "https://a".to_owned(), claims };
        for (issuer, claims, matches) in [
            ("https://a", json!({"groups": ["x", "billing"], "env": "prod", "more": 1}), true),
            ("https://b", json!({"groups": ["x", "billing"], "env": "prod"}), false),
            ("https://a", json!({"groups": "billing", "env": "test"}), false),
            ("https://a", json!({"groups": "billing"}), false),
            ("https://a", json!({"groups": [["billing"]], "env": "prod"}), false),
            ("https://a", json!({"groups": {"billing": true}, "env": "prod"}), false),
        ] {
            assert_eq!(tokens.matches(issuer, claims.as_object().unwrap()), matches, "{issuer} {claims}");
        }
    }
}
