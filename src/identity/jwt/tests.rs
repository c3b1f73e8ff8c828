//! Attacks on the verifier, with a real issuer over HTTPS.

mod attacks;
mod fetching;
mod provider;
mod rotation;
pub(super) mod signer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{
    Rejection, Verifier,
    clock::Clock,
    fetch::Bounds,
    settings::{Algorithm, IssuerSettings},
};
use provider::Provider;

/// How far the clock of a verifier is ahead of the system's, in seconds.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicU64>);

impl Ahead {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

/// A verifier for these issuers, and its clock.
fn verifier(settings: &[IssuerSettings]) -> (Verifier, Ahead) {
    with_bounds(settings, Bounds::default())
}

fn with_bounds(settings: &[IssuerSettings], bounds: Bounds) -> (Verifier, Ahead) {
    let ahead = Ahead::default();
    let of_clock = ahead.clone();
    let clock = Clock::of(move || SystemTime::now() + Duration::from_secs(of_clock.0.load(Ordering::SeqCst)));
    (Verifier::with(settings, None, clock, bounds).unwrap(), ahead)
}

/// The claims of a token of this issuer that is valid for an hour, with these changes; `null` removes a claim.
fn claims(provider: &Provider, changes: &Value) -> Value {
    let now = seconds();
    let mut claims = json!({
        "iss": provider.url, "aud": "outcrop", "sub": "ada", "iat": now, "nbf": now, "exp": now + 3_600,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Lets this time pass for everything but sockets.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Why a token is refused.
async fn refused(verifier: &Verifier, token: &str) -> Rejection {
    match verifier.verify(token).await {
        Ok(accepted) => panic!("accepted: {accepted:?}"),
        Err(rejection) => rejection,
    }
}

/// Waits until this holds, which it must.
async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..10_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never held");
}
