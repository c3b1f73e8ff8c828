//! The threads of the cores: each runs a runtime of its own until the server ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, available_parallelism},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot::{self, Receiver, Sender},
    time::timeout,
};
use tracing::warn;

use super::{CURRENT, Core, Cores, line::Line};
use crate::shutdown::runtime::EXIT_TIMEOUT;

/// The file descriptors of a runtime.
pub(crate) const DESCRIPTORS: usize = 4;

/// The threads for blocking work (files, names of hosts) of all cores, and at least so many for each.
const BLOCKING: (usize, usize) = (512, 16);

/// How much longer than a runtime its thread has to end.
const MARGIN: Duration = Duration::from_millis(500);

/// How many cores a server has: one for each processor that the process may use.
pub(crate) fn number() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The threads of the cores of a server. Dropping them ends the threads and what still runs on them, without waiting for it. They are dropped after
/// the connections have ended: a socket or timer of a core that has ended fails.
#[derive(Debug)]
pub(crate) struct Threads {
    cores: Cores,
    running: Vec<Running>,
}

/// A thread that runs.
#[derive(Debug)]
struct Running {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl Threads {
    /// Starts this many. The runtime in which this is called is the home.
    ///
    /// # Errors
    /// If the operating system gives no threads or no file descriptors.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let (mut cores, mut running) = (Vec::new(), Vec::new());
        for _ in 0..number {
            let runtime = runtime(number)?;
            let core = Arc::new(Core::new(runtime.handle().clone()));
            running.push(Running::start(Arc::clone(&core), runtime)?);
            cores.push(core);
        }
        Ok(Self { cores: Cores { cores: cores.into(), home: Handle::current() }, running })
    }

    /// The cores.
    pub(crate) fn cores(&self) -> Cores {
        self.cores.clone()
    }

    /// Ends the threads. One that does not end in time, because something hangs on it, is left behind.
    pub(crate) async fn stop(self) {
        let (stop, ended): (Vec<_>, Vec<_>) =
            self.running.into_iter().map(|Running { stop, ended }| (stop, ended)).unzip();
        drop(stop);
        if timeout(EXIT_TIMEOUT + MARGIN, join_all(ended)).await.is_err() {
            warn!("a thread of the server hangs and is left behind");
        }
    }
}

impl Core {
    fn new(runtime: Handle) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, runtime, streams: AtomicUsize::new(0), connections: AtomicUsize::new(0), line: Line::default() }
    }
}

impl Running {
    fn start(core: Arc<Core>, runtime: Runtime) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ends, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(format!("core-{}", core.id)).spawn(move || {
            CURRENT.set(Some(core.id));
            // An error says that the sender was dropped, which ends it too.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(EXIT_TIMEOUT);
            core.line.end();
            drop(ends);
        })?;
        Ok(Self { stop, ended })
    }
}

fn runtime(number: usize) -> io::Result<Runtime> {
    let (all, least) = BLOCKING;
    let blocking = (all / number.max(1)).max(least);
    Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(blocking).build()
}
