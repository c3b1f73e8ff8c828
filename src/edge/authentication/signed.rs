//! Verifies the signatures of calls to the Bedrock API. A signature covers the body, so the body is received first, on the memory of the
//! address that sends it; what the headers alone prove wrong is refused before.

use std::{sync::Arc, time::SystemTime};

use axum::{body::to_bytes, extract::Request};
use outcrop_secret_file::SecretString;
use parking_lot::Mutex;

use super::{
    proxies::TrustedProxies,
    signature::{Signature, WINDOW, is_signed},
    used::{REPEATED, Unusable, Used},
};
use crate::{
    admission::{client::ClientId, request_memory::MemoryPermit},
    digest::{hexadecimal, sha256},
    edge::message::Messages,
    error::{Error, Reason},
    identity::{directory::Directory, key, signing::SigningSecrets},
};

/// What a signature came to: the id of its API key, or what is wrong with it, for people.
#[derive(Clone, Debug)]
pub(crate) struct Outcome(pub(super) Result<String, Flaw>);

impl Outcome {
    /// The id of the API key, if it was proved.
    pub(super) fn key_id(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Why a signature proves nothing.
#[derive(Clone, Debug)]
pub(super) enum Flaw {
    /// The access key id is not known.
    UnknownKey(String),
    /// The signature is wrong, too old, or was used.
    Wrong(String),
    /// Too many signatures are remembered.
    Full,
}

/// The memory of a body that was received before the gates.
#[derive(Clone, Debug)]
pub(crate) struct Received(pub(crate) Arc<MemoryPermit>);

/// Verifies signatures. Clones share what is remembered.
#[derive(Clone)]
pub(crate) struct Signatures {
    secrets: SigningSecrets,
    /// The callers. Without any, all clients are served, whatever they sign with.
    directory: Directory,
    /// The region of the server.
    region: Arc<str>,
    /// Behind them each client has its own address.
    proxies: TrustedProxies,
    used: Arc<Mutex<Used>>,
}

impl Signatures {
    /// Verifies signatures with these secrets, for this region, behind these proxies.
    pub(crate) fn new(secrets: SigningSecrets, directory: Directory, region: &str, proxies: TrustedProxies) -> Self {
        Self { secrets, directory, region: region.into(), proxies, used: Arc::default() }
    }

    /// Attaches an [`Outcome`] to a request that is signed, whose own path and query are `target`. Its body is then received.
    ///
    /// # Errors
    /// Those of the reception of its body.
    pub(crate) async fn verify(&self, request: Request, target: &str, messages: &Messages) -> Result<Request, Error> {
        if !is_signed(request.headers()) || self.directory.is_open() {
            return Ok(request);
        }
        let now = SystemTime::now();
        let (signature, secret) = match self.read(&request, now) {
            Ok(read) => read,
            Err(flaw) => return Ok(with(request, Err(flaw))),
        };
        let client = self.proxies.client_of(&request);
        let (request, memory) = Box::pin(messages.receive_body(&client, request)).await?;
        let (parts, body) = request.into_parts();
        let incomplete = |_| Error::new(Reason::MalformedRequest, "the body is not complete");
        let bytes = to_bytes(body, usize::MAX).await.map_err(incomplete)?;
        let is_valid = signature.is_of(&parts, target, &hexadecimal(&sha256(&bytes)), secret);
        let mut request = Request::from_parts(parts, bytes.into());
        request.extensions_mut().insert(Received(memory));
        let outcome = if is_valid {
            self.remember(&signature, &client, now).map(|()| id_of(&signature.key_id).unwrap_or_default().to_owned())
        } else {
            Err(Flaw::Wrong("the signature is not that of the request".to_owned()))
        };
        Ok(with(request, outcome))
    }

    fn read(&self, request: &Request, now: SystemTime) -> Result<(Signature, &SecretString), Flaw> {
        let signature = Signature::read(request.headers(), &self.region, now).map_err(Flaw::Wrong)?;
        match id_of(&signature.key_id).and_then(|id| self.secrets.get(id)) {
            Some(secret) => Ok((signature, secret)),
            None => Err(Flaw::UnknownKey(signature.key_id)),
        }
    }

    /// Remembers a signature for as long as it is valid, so that a client that has seen a call cannot make it again.
    fn remember(&self, signature: &Signature, client: &ClientId, now: SystemTime) -> Result<(), Flaw> {
        let used = self.used.lock().by(&signature.digits, client, now, signature.made_at + WINDOW);
        used.map_err(|unusable| match unusable {
            Unusable::Full => Flaw::Full,
            Unusable::Replayed => Flaw::Wrong(format!(
                "the signature was used before, from another address or more than {REPEATED:?} ago"
            )),
        })
    }
}

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signatures").field("keys", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// The id of the API key of an access key.
fn id_of(access_key: &str) -> Option<&str> {
    access_key.strip_prefix(key::PREFIX).filter(|id| key::is_id(id))
}

fn with(mut request: Request, outcome: Result<String, Flaw>) -> Request {
    request.extensions_mut().insert(Outcome(outcome));
    request
}
