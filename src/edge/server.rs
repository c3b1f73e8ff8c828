//! A listener and its connections: accepts connections within the limits, and ends them.

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
use tracing::{debug, info, warn};

use super::{
    connection::{ConnectionSettings, Connections},
    slots::{Full, Slots},
    tls::Tls,
};
use crate::{admission::client::ClientId, cores::Cores, metrics::Metrics};

/// The minimum and the maximum backoff after a failed accept.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A series of failed accepts has ended when none has failed for this time. It is longer than the maximum backoff.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The minimum interval of log lines about refused connections.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The maximum number of connections that are accepted from the backlog before the listener closes, because closing resets them.
const MAX_LAST: usize = 4_096;

/// A listener and its connections. Dropping it ends all of them.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: TaskTracker,
    slots: Slots,
    stopping: CancellationToken,
    closing: CancellationToken,
    _close: DropGuard,
}

/// Where connections come from, and how they are served.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    /// `None`: connections are not encrypted.
    pub(crate) tls: Option<Tls>,
    /// `None`: connections are served on the runtime that accepts them.
    pub(crate) cores: Option<Cores>,
}

impl Server {
    /// Accepts connections until `stopping` is cancelled. `metrics`, if set, counts them.
    pub(crate) fn start(
        listening: Listening,
        router: Router,
        settings: ConnectionSettings,
        stopping: CancellationToken,
        metrics: Option<Metrics>,
    ) -> Self {
        let Listening { listener, tls, cores } = listening;
        let slots = Slots::new(settings.max, settings.max_per_address, metrics);
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let connections = Connections {
            router,
            settings,
            tls,
            cores,
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            closing: closing.clone(),
        };
        let accept = Accept { listener, connections, slots: slots.clone(), refused: Refused::default() };
        tasks.spawn(closing.clone().run_until_cancelled_owned(accept.run()));
        let guard = closing.clone().drop_guard();
        Self { tasks, slots, stopping, closing, _close: guard }
    }

    /// Closes the listener and ends every connection gracefully: with GOAWAY over HTTP/2, so that streams continue.
    pub(crate) fn stop_accepting(&self) {
        self.stopping.cancel();
    }

    /// Waits until the listener and all connections are closed.
    pub(crate) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Closes the listener and the remaining connections.
    pub(crate) async fn close(&self) {
        let open = self.slots.taken();
        if open > 0 {
            info!(open, "closing the connections that are still open");
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
            match accepted.and_then(|(stream, peer)| self.serve(stream, peer)) {
                Ok(()) => failures.wait = None,
                // The client has disconnected. The next accept can succeed.
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => drop(stopping.run_until_cancelled(sleep(failures.next(&error))).await),
            }
        }
        self.accept_backlog().await;
    }

    /// Accepts the connections in the backlog, because clients can have sent calls on them.
    async fn accept_backlog(&mut self) {
        for _ in 0..MAX_LAST {
            let now = poll_fn(|cx| match self.listener.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
                Poll::Pending => Poll::Ready(None),
            });
            let Some((stream, peer)) = unconstrained(now).await else { return };
            if let Err(error) = self.serve(stream, peer) {
                debug!(%error, %peer, "closed: the connection cannot be served");
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let slot = match self.slots.take(ClientId::of_address(peer.ip())) {
            Ok(slot) => slot,
            Err(full) => {
                self.refused.log(full, &self.connections.settings);
                return Ok(());
            }
        };
        // A connection works without these options, but is slower, or detects a broken peer later.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(self.connections.settings.keepalive);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let connections = self.connections.clone();
        let (stream, place) = match &connections.cores {
            Some(cores) => cores.place(stream).map(|(stream, place)| (stream, Some(place)))?,
            None => (stream, None),
        };
        self.connections.tasks.spawn(connections.serve(stream, place, slot));
        Ok(())
    }
}

/// Whether accepting failed only for one client.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A series of failed accepts, with a growing backoff. Its beginning and its end are logged. It ends when no accept has failed for
/// [`SETTLED_AFTER`]; a single accept that succeeds does not end it.
#[derive(Debug, Default)]
struct Failures {
    number: u64,
    last: Option<Instant>,
    wait: Option<Duration>,
}

impl Failures {
    /// The backoff after this failure.
    fn next(&mut self, error: &io::Error) -> Duration {
        if self.number == 0 {
            warn!(
                %error,
                "cannot accept connections, retrying with backoff. Raise the limit of open files or lower --max-connections"
            );
        }
        let wait = self.wait.map_or(BACKOFF.0, |wait| (wait * 2).min(BACKOFF.1));
        *self = Self { number: self.number + 1, last: Some(Instant::now()), wait: Some(wait) };
        wait
    }

    /// Ready when the series has ended.
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

/// Logs connections that were closed because of a limit: the first at once, then their number once a minute.
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
            "closing connections because of a limit"
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
