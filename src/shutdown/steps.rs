//! The steps of a shutdown, one after the other, each with its line in the log.
//!
//! Walked by [`crate::app`], which serves meanwhile.

use std::{future::poll_fn, pin::pin, time::Duration};

use tokio::time::{sleep, timeout};
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::Drain;
use crate::{proto::generation_service_server::GenerationServiceServer, service::Service, stream::Register};

/// How long calls that were ended get to say so. A stream whose caller does not read cannot.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long the steps take.
#[derive(Clone, Copy, Debug)]
pub struct DrainSettings {
    /// For load balancers to notice that the server is not ready, while it still serves.
    pub lame_duck: Duration,
    /// For running streams to end by themselves.
    pub grace: Duration,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every stream came to its own end.
    Drained,
    /// The grace period was over, and this many streams were ended.
    Forced(usize),
}

/// Not ready -> lame duck -> refuse -> grace -> force. `hurry` cuts the waiting short.
pub(crate) async fn walk(
    drain: &Drain,
    register: &Register,
    health: &HealthReporter,
    settings: DrainSettings,
    hurry: impl Future<Output = ()>,
) -> Ended {
    let DrainSettings { lame_duck, grace } = settings;
    let mut hurry = pin!(hurry);
    let mut hurried = false;
    health.set_not_serving::<GenerationServiceServer<Service>>().await;
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    info!(running = drain.running(), "draining: not ready");
    if !lame_duck.is_zero() {
        info!(?lame_duck, "draining: lame duck, new calls are still served");
        tokio::select! {
            () = sleep(lame_duck) => {}
            () = &mut hurry => hurried = true,
        }
    }
    drain.begin();
    info!(running = drain.running(), "draining: new calls are refused");
    info!(?grace, "draining: grace, running streams end by themselves");
    let mut hurry = pin!(poll_fn(|cx| if hurried { std::task::Poll::Ready(()) } else { hurry.as_mut().poll(cx) }));
    let why = tokio::select! {
        biased;
        () = drain.finished() => return Ended::Drained,
        () = sleep(grace) => "the grace period is over",
        () = &mut hurry => "a second signal came",
    };
    let left = drain.running();
    warn!(left, "draining: force, {why}");
    drain.revoke();
    register.end_all(Drain::revocation);
    // Nothing is held any more; this is for the callers to be told.
    let _ = timeout(FAREWELL, drain.finished()).await;
    Ended::Forced(left)
}
