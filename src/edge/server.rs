//! A listener and its connections: accepts, refuses what exceeds the limits, and ends.

use std::{
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    task::Poll,
    time::Duration,
};

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::coop::unconstrained,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{info, warn};

use super::{
    connection::{ConnectionSettings, Connections},
    slots::{Full, Slots},
};
use crate::{admission::client_id::ClientId, metrics::Metrics};

/// The first and the longest wait after a failed accept.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A row of failed accepts is over when none has failed for this long. It is more than the longest wait.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// How often it is logged, at most, that connections exceed a limit.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// How many connections are accepted at the end that the system has already established. A listener that is closed resets them.
const MAX_LAST: usize = 4_096;

/// A listener that is served, with its connections. All end when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: TaskTracker,
    slots: Slots,
    stopping: CancellationToken,
    closing: CancellationToken,
    _close: DropGuard,
}

impl Server {
    /// Begins to accept, until `stopping` is cancelled. `metrics` counts the connections, if they are to be counted.
    pub(crate) fn start(
        listener: TcpListener,
        router: Router,
        settings: ConnectionSettings,
        stopping: CancellationToken,
        metrics: Option<Metrics>,
    ) -> Self {
        let slots = Slots::new(settings.max, settings.max_per_address, metrics);
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let connections = Connections {
            router,
            settings,
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            closing: closing.clone(),
        };
        let accept = Accept { listener, connections, slots: slots.clone(), refused: Refused::default() };
        tasks.spawn(closing.clone().run_until_cancelled_owned(accept.run()));
        let guard = closing.clone().drop_guard();
        Self { tasks, slots, stopping, closing, _close: guard }
    }

    /// Closes the listener and ends every connection gracefully: HTTP/2 gets GOAWAY, streams run on.
    pub(crate) fn stop_accepting(&self) {
        self.stopping.cancel();
    }

    /// Waits until the listener and all connections are closed.
    pub(crate) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Closes the listener and the connections that are left.
    pub(crate) async fn close(&self) {
        let open = self.slots.taken();
        if open > 0 {
            info!(open, "connections are still open and are closed now");
        }
        self.closing.cancel();
        self.closed().await;
    }
}

/// The accept loop.
struct Accept {
    listener: TcpListener,
    connections: Connections,
    slots: Slots,
    refused: Refused,
}

impl Accept {
    async fn run(mut self) {
        let stopping = self.connections.stopping.clone();
        let mut failures = Failures::default();
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = self.listener.accept() => accepted,
                () = failures.settled() => {
                    failures.over();
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    failures.wait = None;
                    self.serve(stream, peer);
                }
                // The client was gone before it was accepted. The next one may be there.
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => drop(stopping.run_until_cancelled(sleep(failures.next(&error))).await),
            }
        }
        self.accept_the_last().await;
    }

    /// Accepts what the system has established already. A call may be on its way on each.
    async fn accept_the_last(&mut self) {
        for _ in 0..MAX_LAST {
            let now = poll_fn(|cx| match self.listener.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
                Poll::Pending => Poll::Ready(None),
            });
            let Some((stream, peer)) = unconstrained(now).await else { return };
            self.serve(stream, peer);
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        match self.slots.take(ClientId::of_address(peer.ip())) {
            Ok(slot) => {
                // Without them a connection is slower, or noticed to be broken later; it works all the same.
                let _ = stream.set_nodelay(true);
                let keepalive = TcpKeepalive::new().with_time(self.connections.settings.keepalive);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                let connection = self.connections.clone().serve(stream);
                self.connections.tasks.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(full) => self.refused.log(full, &self.connections.settings),
        }
    }
}

/// Whether accepting failed for this client alone.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A row of failed accepts: each waits longer. It is logged at its beginning and at its end, which comes when none has failed for
/// [`SETTLED_AFTER`]. An accept that succeeds in between, for a connection that was closed, does not end it.
#[derive(Debug, Default)]
struct Failures {
    number: u64,
    last: Option<Instant>,
    wait: Option<Duration>,
}

impl Failures {
    /// How long to wait after this failure.
    fn next(&mut self, error: &io::Error) -> Duration {
        if self.number == 0 {
            warn!(
                %error,
                "cannot accept connections, trying again with backoff. Raise the limit of open files or lower --max-connections"
            );
        }
        let wait = self.wait.map_or(BACKOFF.0, |wait| (wait * 2).min(BACKOFF.1));
        *self = Self { number: self.number + 1, last: Some(Instant::now()), wait: Some(wait) };
        wait
    }

    /// Ready when the row is over.
    async fn settled(&self) {
        match self.last {
            Some(last) => sleep_until(last + SETTLED_AFTER).await,
            None => pending().await,
        }
    }

    fn over(&mut self) {
        info!(failed = self.number, "accepting connections again");
        *self = Self::default();
    }
}

/// Logs that connections were closed because they exceed a limit: once, and then what has come since, once a minute.
#[derive(Debug, Default)]
struct Refused {
    since_last_line: u64,
    next_line: Option<Instant>,
}

impl Refused {
    fn log(&mut self, full: Full, settings: &ConnectionSettings) {
        self.since_last_line += 1;
        let now = Instant::now();
        if self.next_line.is_some_and(|at| now < at) {
            return;
        }
        let ConnectionSettings { max, max_per_address, .. } = settings;
        warn!(
            limit = full.name(),
            closed = self.since_last_line,
            max,
            max_per_address,
            "connections above the limit are closed at once"
        );
        (self.since_last_line, self.next_line) = (0, Some(now + LOG_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_after_failures_grows_to_a_second_and_the_row_ends_when_none_has_failed_for_a_while() {
        let error = io::Error::from_raw_os_error(24);
        let mut failures = Failures::default();
        let waits: Vec<_> = (0..40).map(|_| failures.next(&error)).collect();
        assert_eq!((waits[0], waits[1], waits[39]), (BACKOFF.0, 2 * BACKOFF.0, BACKOFF.1));
        assert!(waits.is_sorted());
        assert_eq!(failures.number, 40);
        let before = Instant::now();
        failures.settled().await;
        assert_eq!(before.elapsed(), SETTLED_AFTER);
        failures.over();
        assert_eq!(failures.next(&error), BACKOFF.0);
    }
}
