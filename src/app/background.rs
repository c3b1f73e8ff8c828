//! What a server does besides serving: each of these runs while it is polled, beside the listener.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{AppError, account_quotas::AccountQuotas};
use crate::{
    admission::{AdmissionControl, failure_limit::FailureLimit},
    bedrock::Bedrock,
    config::Settings,
    conversation::{Conversations, settings::ConversationSettings},
    failover::circuit_breaker::CircuitBreakers,
    identity::directory::Directory,
    quota::{budget::Budgets, ledger::Ledger, sharing::Sharing},
    redis::{Probe, connection::Connection},
    response::registry::CallRegistry,
};

/// The interval of the search for calls that have passed a timeout and are not polled.
const SWEEP: Duration = Duration::from_secs(1);

/// The number of sweeps between two in which rate limits of idle clients are removed.
const FORGET_EVERY: u32 = 60;

/// The interval of the search for idle clients of Bedrock. One is dropped when it was idle from one search to the next.
const IDLE_CLIENTS: Duration = Duration::from_secs(15);

/// The time in which the store can release the leases of conversations, and write what budgets have spent.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval of the removal of expired conversations.
const EXPIRY: Duration = Duration::from_mins(1);

/// Ends calls that have passed a timeout, and removes the rate limits of idle clients, while it is polled. It awaits only timers, so it
/// cannot be delayed by a store.
pub(super) async fn sweep(
    registry: &CallRegistry,
    admission: &AdmissionControl,
    failures: &FailureLimit,
    unread: Duration,
) {
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for _ in 0..FORGET_EVERY {
            sweeps.tick().await;
            registry.end_overdue(unread);
        }
        admission.forget_idle();
        failures.forget_idle();
    }
}

/// Gives back what a burst of streams has needed upstream, while it is polled.
pub(super) async fn drop_idle_clients(bedrock: &Bedrock) {
    loop {
        sleep(IDLE_CLIENTS).await;
        bedrock.drop_idle_clients();
    }
}

/// The sharing with other servers, if their conversations and those of this server are in one Redis.
pub(super) async fn share(
    settings: &Settings,
    home: &str,
    ledger: &Ledger,
    admission: &AdmissionControl,
    breakers: &CircuitBreakers,
) -> Result<Option<Sharing>, AppError> {
    let ConversationSettings::Redis(redis) = &settings.conversations else { return Ok(None) };
    if !settings.share_limits {
        return Ok(None);
    }
    let connection = Connection::new(redis.clone());
    match Sharing::open(&connection, home, ledger.clone(), admission.clone(), breakers.clone()).await {
        Ok(sharing) => Ok(Some(sharing)),
        Err(Probe::Away(problem) | Probe::Misconfigured(problem)) => {
            Err(AppError::Sharing { address: redis.address.clone(), problem })
        }
    }
}

/// Keeps the quotas of models while it is polled: gives what comes with time, reads them from AWS, and renews the shares of this server.
pub(super) async fn keep_quotas(
    ledger: &Ledger,
    account_quotas: &AccountQuotas,
    directory: &Directory,
    sharing: Option<&Sharing>,
) {
    let shared = async {
        if let Some(sharing) = sharing {
            sharing.run().await;
        }
    };
    tokio::join!(ledger.run(), account_quotas.run(directory, ledger), shared);
}

/// Ends what other servers and the next start of this one count on, when no call runs any more.
pub(super) async fn settle(conversations: &Conversations, budgets: &Budgets, sharing: Option<&Sharing>) {
    // Leases that are not released in this time expire.
    let _ = timeout(SETTLE_TIMEOUT, conversations.settle()).await;
    let _ = timeout(SETTLE_TIMEOUT, conversations.keep_last(budgets)).await;
    if let Some(sharing) = sharing {
        sharing.leave().await;
    }
}

/// Removes expired conversations while it is polled. It is separate, because a store can hang.
pub(super) async fn remove_expired(conversations: &Conversations) {
    loop {
        sleep(EXPIRY).await;
        conversations.remove_expired().await;
    }
}
