//! The configured callers, as the configuration file has them. `docs/security.md` describes each setting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use super::jwt::settings::IssuerSettings;
use crate::{
    admission::client::ClientLimits,
    quota::settings::{Budget, QueueShare},
};

/// Who may call the server. Without callers it serves all clients.
#[derive(Clone, Debug, Default)]
pub struct IdentitySettings {
    /// The callers. Their names differ.
    pub callers: Vec<CallerSettings>,
    /// The issuers of their tokens. Their URLs differ.
    pub issuers: Vec<IssuerSettings>,
}

impl IdentitySettings {
    /// The budgets of all callers by name.
    pub(crate) fn budgets(&self) -> impl Iterator<Item = (&str, Budget)> {
        self.callers.iter().map(|caller| (caller.name.as_str(), caller.budget))
    }
}

/// One `[[caller]]`.
#[derive(Clone, Debug, Default)]
pub struct CallerSettings {
    /// The name, which no other caller has.
    pub name: String,
    /// The tenant. Callers of one tenant do not share conversations or limits; they share the label of metrics.
    pub tenant: String,
    /// The API keys. The ids of all callers differ.
    pub keys: Vec<KeySettings>,
    /// The URI SANs of client certificates. No other caller has one of them.
    pub certificates: Vec<String>,
    /// The tokens that are this caller's.
    pub tokens: Vec<TokenSettings>,
    /// What it may ask for.
    pub permissions: PermissionSettings,
    /// Its own limits in place of those for every caller.
    pub limits: ClientLimits,
    /// Its place among those that wait for the quota of a model.
    pub queue_share: QueueShare,
    /// How much it may use in a day and in a month.
    pub budget: Budget,
    /// What is added to its requests, in place of what they say.
    pub imposed: ImposedSettings,
    /// Whether it owns the conversations of a server without callers. At most one caller does, and it has no tokens.
    pub adopts_unowned_conversations: bool,
}

/// An API key, of which only the hash is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// The lookup id, which is part of the key.
    pub id: String,
    /// The SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// When it stops being accepted.
    pub expires_at: Option<SystemTime>,
    /// Whether it is revoked.
    pub disabled: bool,
}

/// The tokens of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Their issuer.
    pub issuer: String,
    /// Claims that they all have with these values. A claim with several values has the value among them.
    pub claims: BTreeMap<String, String>,
}

/// What a caller may ask for.
#[derive(Clone, Debug, Default)]
pub struct PermissionSettings {
    /// Names of models and routes, or their beginnings followed by `*`. `None`: all.
    pub models: Option<Vec<String>>,
    /// AWS regions. `None`: all.
    pub regions: Option<BTreeSet<String>>,
    /// Methods of the generation service, `reflection` and `metrics`. `None`: all but `metrics`.
    pub methods: Option<BTreeSet<String>>,
    /// Whether requests may have a `native_body`, in which the server cannot check S3 locations.
    pub native_bodies: bool,
    /// The beginnings of S3 URIs that requests may name, because the server's own AWS role reads them. Empty: none.
    pub s3_prefixes: Vec<String>,
}

/// What is added to the requests of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImposedSettings {
    /// The guardrail of all its requests.
    pub guardrail: Option<GuardrailSettings>,
    /// Entries of the request metadata.
    pub request_metadata: BTreeMap<String, String>,
}

/// A guardrail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardrailSettings {
    /// The id or the ARN.
    pub identifier: String,
    /// The version: a number or `DRAFT`.
    pub version: String,
}
