//! The steps of a shutdown, one after the other, each with its line in the log.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Shutdown;

/// How long callers may take to read what their calls have been answered. A caller who does not read does not hold the process.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the steps take.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownSettings {
    /// For load balancers to notice that the server is not ready, while it still serves.
    pub lame_duck: Duration,
    /// For calls that were on their way when their client was told to go elsewhere. At most `grace`.
    pub crossing: Duration,
    /// For running streams to end by themselves.
    pub grace: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { lame_duck: Duration::ZERO, crossing: Duration::from_secs(5), grace: Duration::from_secs(30) }
    }
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

    /// Closes the listener and tells every connection to open no further calls.
    fn stop_accepting(&self);

    /// Waits until all connections are closed.
    fn closed(&self) -> impl Future<Output = ()>;

    /// Ends the streams that are left.
    fn end_streams(&self);
}

/// Not ready -> lame duck -> GOAWAY -> refuse -> grace -> force -> connections close. `hurry` cuts the waiting short.
pub(crate) async fn walk(
    shutdown: &Shutdown,
    served: &impl Served,
    settings: ShutdownSettings,
    hurry: impl Future<Output = ()>,
) -> Ended {
    let ShutdownSettings { lame_duck, crossing, grace } = settings;
    let mut hurry = pin!(hurry);
    let mut hurried = false;
    // Ready again whenever it is asked: the signal may come in an earlier step.
    let mut hurry = pin!(poll_fn(move |cx| {
        hurried = hurried || hurry.as_mut().poll(cx).is_ready();
        if hurried { Poll::Ready(()) } else { Poll::Pending }
    }));
    served.not_ready().await;
    info!(running = shutdown.running(), "draining: not ready");
    if !lame_duck.is_zero() {
        info!(?lame_duck, "draining: lame duck, new calls are still served");
        tokio::select! {
            () = sleep(lame_duck) => {}
            () = &mut hurry => {}
        }
    }
    served.stop_accepting();
    info!(
        ?grace,
        running = shutdown.running(),
        "draining: the listener is closed, connections take no new calls (GOAWAY)"
    );
    let mut grace_end = pin!(sleep(grace));
    let all_closed = tokio::select! {
        biased;
        () = served.closed() => true,
        () = &mut hurry => false,
        () = &mut grace_end => false,
        () = sleep(crossing) => false,
    };
    shutdown.begin();
    info!(
        running = shutdown.running(),
        all_closed, "draining: new calls are refused, running streams end by themselves"
    );
    let why = tokio::select! {
        biased;
        () = shutdown.finished() => None,
        () = &mut grace_end => Some("the grace period is over"),
        () = &mut hurry => Some("a second signal came"),
    };
    let ended = match why {
        None => Ended::Drained,
        Some(why) => force(shutdown, served, why),
    };
    // Nothing is held any more; this is for the callers to be told.
    let _ = timeout(FAREWELL_TIMEOUT, served.closed()).await;
    ended
}

fn force(shutdown: &Shutdown, served: &impl Served, why: &str) -> Ended {
    let left = shutdown.running();
    warn!(left, "draining: force, {why}");
    shutdown.revoke();
    served.end_streams();
    Ended::Forced(left)
}
