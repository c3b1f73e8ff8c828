//! Who makes a call. Every call has one [`Identity`], which [`crate::edge::authentication`] decides before the body is read. Limits,
//! conversations, permissions, logs and metrics go by it.
//!
//! - [`settings`] the configured callers
//! - [`jwt`] verifies tokens
//! - [`key`] API keys: their form, their hashes, new ones
//! - `caller` a configured caller; `permissions` what it may ask for
//! - `directory` all callers, which a reload replaces at once; `issued` the keys that the server makes while it runs
//! - [`signing`] the secrets with which callers sign
//! - `owner` the name of an identity in the stores

mod caller;
pub(crate) mod directory;
mod issued;
pub mod jwt;
pub mod key;
mod owner;
pub(crate) mod permissions;
pub mod settings;
pub mod signing;

use std::{fmt, net::IpAddr, sync::Arc};

use http::Extensions;

pub(crate) use self::permissions::Permissions;
use self::{caller::Caller, jwt::Verified, settings::ImposedSettings};
use crate::{
    admission::client::{Client, ClientId},
    error::{Error, Reason},
    in_force::InForce,
};

/// Who makes a call. Clones share it.
#[derive(Clone)]
pub(crate) struct Identity {
    who: Arc<Who>,
    /// Where the call comes from.
    address: ClientId,
}

struct Who {
    /// `None` on a server without callers, which serves all clients.
    caller: Option<Arc<Caller>>,
    credential: Credential,
    /// The subject within the tenant.
    subject: Arc<str>,
    client: Client,
    owner: Arc<str>,
    /// The settings of the generation in which it was identified.
    in_force: Arc<InForce>,
}

/// What proved the identity. It has no secret.
#[derive(Clone, PartialEq)]
pub(crate) enum Credential {
    /// None: the server has no callers.
    None,
    /// An API key.
    Key {
        /// Its lookup id.
        id: Arc<str>,
        /// Its hash. Another secret under the same id is another key.
        sha256: [u8; 32],
    },
    /// A client certificate.
    Certificate {
        /// Its URI SAN.
        uri: Arc<str>,
    },
    /// A token of an issuer.
    Token {
        /// The issuer.
        issuer: Arc<str>,
        /// All claims, to find out after a reload whether the token is still the caller's.
        claims: Arc<Claims>,
    },
}

/// The claims of a token.
pub(crate) type Claims = serde_json::Map<String, serde_json::Value>;

impl Credential {
    /// The method of authentication in logs and in the audit log.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Key { .. } => "api_key",
            Self::Certificate { .. } => "certificate",
            Self::Token { .. } => "token",
        }
    }

    /// What tells the credential from others of the same method: the id of a key, the URI of a certificate, the issuer of a token.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::None => "",
            Self::Key { id, .. } => id,
            Self::Certificate { uri } => uri,
            Self::Token { issuer, .. } => issuer,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.method(), self.id())
    }
}

impl Identity {
    /// A client at this address, for a server without callers.
    pub(super) fn of_address(address: Option<IpAddr>, in_force: &Arc<InForce>) -> Self {
        let address = address.map_or(ClientId::Unknown, ClientId::of_address);
        let client = Client::of(address.clone());
        let (subject, owner) = ("".into(), owner::UNOWNED.into());
        let in_force = Arc::clone(in_force);
        Self {
            who: Arc::new(Who { caller: None, credential: Credential::None, subject, client, owner, in_force }),
            address,
        }
    }

    /// A configured caller that this credential proves.
    pub(crate) fn of_caller(caller: &Arc<Caller>, credential: Credential, in_force: &Arc<InForce>) -> Self {
        let (client, subject) = (caller.client.clone(), Arc::clone(&caller.name));
        let owner = Arc::clone(&caller.owner);
        let in_force = Arc::clone(in_force);
        Who { client, caller: Some(Arc::clone(caller)), credential, subject, owner, in_force }.somewhere()
    }

    /// One of the subjects whose tokens are a configured caller's.
    pub(super) fn of_subject(caller: &Arc<Caller>, token: &Verified, in_force: &Arc<InForce>) -> Self {
        let Verified { issuer, subject, claims, .. } = token;
        Who {
            client: caller.client.clone(),
            caller: Some(Arc::clone(caller)),
            credential: Credential::Token { issuer: Arc::clone(issuer), claims: Arc::clone(claims) },
            subject: subject.as_str().into(),
            owner: owner::of(&caller.tenant, issuer, subject).into(),
            in_force: Arc::clone(in_force),
        }
        .somewhere()
    }

    /// A configured caller without a credential.
    #[cfg(test)]
    pub(crate) fn of_settings(settings: &settings::CallerSettings) -> Self {
        Self::of_caller(&Caller::new(settings), Credential::None, &Arc::default())
    }

    /// A client of a server without callers.
    #[cfg(any(feature = "microbenchmarks", test))]
    pub(crate) fn anonymous() -> Self {
        Self::of_address(None, &Arc::default())
    }

    /// The same identity, calling from this address.
    pub(crate) fn at(self, address: ClientId) -> Self {
        Self { address, ..self }
    }

    /// Where the call comes from.
    pub(crate) fn address(&self) -> &ClientId {
        &self.address
    }

    /// The identity of a request that has passed the authentication.
    ///
    /// # Errors
    /// `INTERNAL` if it has not passed it.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Error> {
        let message = "the call did not pass the authentication of the server";
        extensions.get().cloned().ok_or_else(|| Error::new(Reason::Internal, message))
    }

    /// The tenant: the label of metrics, and the outermost border between conversations. Empty on a server without callers.
    pub(crate) fn tenant(&self) -> &str {
        self.who.caller.as_ref().map_or("", |caller| &caller.tenant)
    }

    /// The name of the configured caller. Empty on a server without callers.
    pub(crate) fn caller(&self) -> &str {
        self.who.caller.as_ref().map_or("", |caller| &caller.name)
    }

    /// The subject: the caller's name, or the `sub` of a token.
    pub(crate) fn subject(&self) -> &str {
        &self.who.subject
    }

    /// What proved it.
    pub(crate) fn credential(&self) -> &Credential {
        &self.who.credential
    }

    /// The client whose limits apply.
    pub(crate) fn client(&self) -> &Client {
        &self.who.client
    }

    /// The owner of its conversations in the stores.
    pub(crate) fn owner(&self) -> &str {
        &self.who.owner
    }

    /// What is put into its requests.
    pub(crate) fn imposed(&self) -> Option<&ImposedSettings> {
        self.who.caller.as_ref().map(|caller| &caller.imposed)
    }

    /// The models and limits that hold for the call.
    pub(crate) fn in_force(&self) -> &Arc<InForce> {
        &self.who.in_force
    }

    /// What it may ask for.
    pub(crate) fn permissions(&self) -> &Permissions {
        self.who.caller.as_ref().map_or(&permissions::ALL, |caller| &caller.permissions)
    }
}

impl Who {
    fn somewhere(self) -> Identity {
        Identity { who: Arc::new(self), address: ClientId::Unknown }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = self.credential();
        f.debug_struct("Identity").field("caller", &self.caller()).field("credential", credential).finish()
    }
}
