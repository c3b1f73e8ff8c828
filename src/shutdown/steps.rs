//! The steps of a graceful shutdown. Each writes a line to the log.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Shutdown;

/// The time in which calls that were ended can end, and connections can send the last answers, so that a caller that does not read does not
/// delay the exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The durations of the steps.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownSettings {
    /// The time in which new calls are still served, so that load balancers notice that the server is not ready.
    pub lame_duck: Duration,
    /// The time in which calls are still served that clients sent before they received GOAWAY. At most `grace`.
    pub crossing: Duration,
    /// The time in which running streams can end.
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
    /// All streams ended by themselves.
    Drained,
    /// This many streams were still running at the end of the grace period, or at the second signal, and were ended.
    Forced(usize),
}

/// The parts of a server that the steps control.
pub(crate) trait Served {
    /// Sets the health to `NOT_SERVING`.
    fn not_ready(&self) -> impl Future<Output = ()>;

    /// Closes the listener and sends GOAWAY on every connection.
    fn stop_accepting(&self);

    /// Waits until all connections are closed.
    fn closed(&self) -> impl Future<Output = ()>;

    /// Ends the running streams.
    fn end_streams(&self);
}

/// Runs the steps: not ready, lame duck, GOAWAY, refuse, grace, force, close. `force_signal` skips to force.
pub(crate) async fn run(
    shutdown: &Shutdown,
    served: &impl Served,
    settings: ShutdownSettings,
    force_signal: impl Future<Output = ()>,
) -> Ended {
    let ShutdownSettings { lame_duck, crossing, grace } = settings;
    let mut force_signal = pin!(force_signal);
    let mut signalled = false;
    // Stays ready, because each step polls it.
    let mut force_signal = pin!(poll_fn(move |cx| {
        signalled = signalled || force_signal.as_mut().poll(cx).is_ready();
        if signalled { Poll::Ready(()) } else { Poll::Pending }
    }));
    served.not_ready().await;
    info!(running = shutdown.running(), "draining: not ready");
    if !lame_duck.is_zero() {
        info!(?lame_duck, "draining: lame duck, new calls are still served");
        tokio::select! {
            () = sleep(lame_duck) => {}
            () = &mut force_signal => {}
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
        () = &mut force_signal => false,
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
        () = &mut force_signal => Some("a second signal came"),
    };
    let ended = match why {
        None => Ended::Drained,
        Some(why) => force(shutdown, served, why),
    };
    // What was ended is accounted for when its task runs next. Connections get time to send the last statuses.
    let _ = timeout(CLOSE_TIMEOUT, async { tokio::join!(shutdown.finished(), served.closed()) }).await;
    ended
}

fn force(shutdown: &Shutdown, served: &impl Served, why: &str) -> Ended {
    let running = shutdown.running();
    warn!(running, "draining: force, {why}");
    shutdown.revoke();
    served.end_streams();
    Ended::Forced(running)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::{runtime::Handle, task::yield_now};

    use super::*;

    /// A server whose connections are closed already.
    struct NoConnections;

    impl Served for NoConnections {
        async fn not_ready(&self) {}

        fn stop_accepting(&self) {}

        async fn closed(&self) {}

        fn end_streams(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_forced_shutdown_waits_for_what_it_ends_up_to_a_limit() {
        let shutdown = Shutdown::default();
        let call = shutdown.enter().unwrap();
        let revoked = call.revoked();
        call.spawn(&Handle::current(), async move {
            revoked.await;
            yield_now().await;
        });
        drop(call);
        let settings = ShutdownSettings::default();
        assert_eq!(run(&shutdown, &NoConnections, settings, ready(())).await, Ended::Forced(1));
        assert_eq!(shutdown.running(), 0, "what was ended is accounted for");
        shutdown.enter().unwrap_err();

        let shutdown = Shutdown::default();
        shutdown.enter().unwrap().spawn(&Handle::current(), pending());
        assert_eq!(run(&shutdown, &NoConnections, settings, ready(())).await, Ended::Forced(1));
        assert_eq!(shutdown.running(), 1);
    }
}
