//! Verifies the signatures of calls to the Bedrock API. A signature covers the body, so the body is received first, on the memory of the
//! address that sends it; what the headers alone prove wrong is refused before.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use axum::{body::to_bytes, extract::Request};
use outcrop_secret_file::SecretString;
use parking_lot::Mutex;
use tonic::transport::server::TcpConnectInfo;

use super::signature::{Signature, WINDOW, is_signed};
use crate::{
    admission::{client::ClientId, request_memory::MemoryPermit},
    digest::{hexadecimal, sha256},
    edge::message::Messages,
    error::{Error, Reason},
    identity::{directory::Directory, key, signing::SigningSecrets},
};

/// The most signatures that are remembered, which is that many signed calls in the time for which signatures are valid.
const REMEMBERED: usize = 1 << 20;

/// Fewer are not worth the search for those that are no longer valid.
const FEW: usize = 1 << 10;

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
    used: Arc<Mutex<HashMap<u128, SystemTime>>>,
}

impl Signatures {
    /// Verifies signatures with these secrets, for this region.
    pub(crate) fn new(secrets: SigningSecrets, directory: Directory, region: &str) -> Self {
        Self { secrets, directory, region: region.into(), used: Arc::default() }
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
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let client = peer.map_or(ClientId::Unknown, |peer| ClientId::of_address(peer.ip().to_canonical()));
        let (request, memory) = Box::pin(messages.receive_body(&client, request)).await?;
        let (parts, body) = request.into_parts();
        let incomplete = |_| Error::new(Reason::MalformedRequest, "the body is not complete");
        let bytes = to_bytes(body, usize::MAX).await.map_err(incomplete)?;
        let is_valid = signature.is_of(&parts, target, &hexadecimal(&sha256(&bytes)), secret);
        let mut request = Request::from_parts(parts, bytes.into());
        request.extensions_mut().insert(Received(memory));
        let outcome = if is_valid {
            self.use_once(&signature, now).map(|()| id_of(&signature.key_id).unwrap_or_default().to_owned())
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
    fn use_once(&self, signature: &Signature, now: SystemTime) -> Result<(), Flaw> {
        let digits = signature.digits.get(..32).unwrap_or_default();
        let number = u128::from_str_radix(digits, 16).unwrap_or_default();
        let mut used = self.used.lock();
        // From time to time, so that what is remembered is in proportion to the calls.
        if used.len() >= REMEMBERED || (used.len() >= FEW && used.len().is_power_of_two()) {
            used.retain(|_, until| *until >= now);
        }
        if used.len() >= REMEMBERED {
            return Err(Flaw::Full);
        }
        match used.insert(number, signature.made_at + WINDOW) {
            Some(until) if until >= now => Err(Flaw::Wrong("the signature was used before".to_owned())),
            _ => Ok(()),
        }
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
