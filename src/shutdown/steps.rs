//! The steps of a shutdown, one after the other, each with its line in the log.

use std::{future::poll_fn, pin::pin, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Shutdown;

/// How long calls that were ended get to say so. A stream whose caller does not read cannot.
const FORCED_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the steps take.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownSettings {
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

/// What the steps need done by those who serve.
pub(crate) trait Served {
    /// Tells health checks that the server is not ready.
    fn not_ready(&self) -> impl Future<Output = ()>;

    /// Ends the streams that are left.
    fn end_streams(&self);
}

/// Not ready -> lame duck -> refuse -> grace -> force. `hurry` cuts the waiting short.
pub(crate) async fn walk(
    shutdown: &Shutdown,
    served: &impl Served,
    settings: ShutdownSettings,
    hurry: impl Future<Output = ()>,
) -> Ended {
    let ShutdownSettings { lame_duck, grace } = settings;
    let mut hurry = pin!(hurry);
    let mut hurried = false;
    served.not_ready().await;
    info!(running = shutdown.running(), "draining: not ready");
    if !lame_duck.is_zero() {
        info!(?lame_duck, "draining: lame duck, new calls are still served");
        tokio::select! {
            () = sleep(lame_duck) => {}
            () = &mut hurry => hurried = true,
        }
    }
    shutdown.begin();
    info!(running = shutdown.running(), "draining: new calls are refused");
    info!(?grace, "draining: grace, running streams end by themselves");
    let mut hurry = pin!(poll_fn(|cx| if hurried { std::task::Poll::Ready(()) } else { hurry.as_mut().poll(cx) }));
    let why = tokio::select! {
        biased;
        () = shutdown.finished() => return Ended::Drained,
        () = sleep(grace) => "the grace period is over",
        () = &mut hurry => "a second signal came",
    };
    let left = shutdown.running();
    warn!(left, "draining: force, {why}");
    shutdown.revoke();
    served.end_streams();
    // Nothing is held any more; this is for the callers to be told.
    let _ = timeout(FORCED_CLOSE_TIMEOUT, shutdown.finished()).await;
    Ended::Forced(left)
}
