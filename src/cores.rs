//! A thread for each core: a connection and its streams stay on one, so a chunk wakes no other thread unless its stream was moved.
//!
//! [`crate::edge::server`] places each connection here, and [`crate::edge::connection`] spawns its streams. The rest of the program (accepting,
//! handshakes, what runs in the background) is on the runtime of the program, the home, whose threads take work from each other. No thread takes work
//! from a core, so what computes for long leaves it ([`leave_if_large`]).
//!
//! - `threads` starts and ends the threads
//! - `line` when a stream begins
//! - `task` a task on a core, which can leave it

mod line;
mod task;
mod threads;

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::TcpStream, runtime::Handle};

#[cfg(test)]
use self::task::leave;
use self::{line::Line, task::Task};
pub(crate) use self::{
    task::leave_if_large,
    threads::{DESCRIPTORS, Threads, number},
};

/// Distinguishes the cores of a process.
pub(crate) type CoreId = usize;

thread_local! {
    /// The core whose thread this is.
    static CURRENT: Cell<Option<CoreId>> = const { Cell::new(None) };
}

/// The core that this runs on. `None`: the home, or a runtime without cores.
pub(crate) fn current() -> Option<CoreId> {
    CURRENT.get()
}

/// So many streams more than a quarter above those of another core may a core have before new ones go there. Fewer do not pay for the threads that
/// wake each other.
const UNEVEN: usize = 8;

/// The cores of a server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    cores: Arc<[Arc<Core>]>,
    home: Handle,
}

/// A core and what it has to do.
#[derive(Debug)]
struct Core {
    id: CoreId,
    runtime: Handle,
    streams: AtomicUsize,
    connections: AtomicUsize,
    line: Line,
}

/// The place of a connection on its core. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    counted: Counted,
    home: Handle,
}

/// A connection or a stream of a core, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    core: Arc<Core>,
    number: fn(&Core) -> &AtomicUsize,
}

impl Cores {
    /// Registers a connection at the core with the fewest streams, and of those with the fewest connections, so that idle connections do not hide
    /// which core is busy.
    ///
    /// # Errors
    /// If the operating system does not register it, as when memory is short.
    pub(crate) fn place(&self, stream: TcpStream) -> io::Result<(TcpStream, Place)> {
        let load = |core: &&Arc<Core>| (core.running(), core.connections.load(Ordering::Relaxed));
        let Some(core) = self.cores.iter().min_by_key(load) else {
            return Err(io::Error::other("the server has no cores"));
        };
        let counted = core.count(|core| &core.connections);
        let stream = stream.into_std()?;
        // A socket belongs to the runtime in which it is made.
        let _core = core.runtime.enter();
        Ok((TcpStream::from_std(stream)?, Place { counted, home: self.home.clone() }))
    }

    /// Spawns a stream of a connection on this core, or on another that has far fewer streams.
    pub(crate) fn spawn_stream(&self, stream: impl Future<Output = ()> + Send + 'static) {
        match self.core_of_stream() {
            Some(core) => {
                let counted = core.count(|core| &core.streams);
                core.begin(Task::new(stream, counted, self.home.clone()));
            }
            None => drop(self.home.spawn(stream)),
        }
    }

    fn core_of_stream(&self) -> Option<&Arc<Core>> {
        let least = self.cores.iter().min_by_key(|core| core.running())?;
        let own = self.own().unwrap_or(least);
        let few = least.running();
        Some(if own.running() > few + few / 4 + UNEVEN { least } else { own })
    }

    /// Counts a stream that is not a task of its own, on the core that this runs on. `None`: on none.
    pub(crate) fn count_stream(&self) -> Option<Counted> {
        Some(self.own()?.count(|core| &core.streams))
    }

    fn own(&self) -> Option<&Arc<Core>> {
        let current = current()?;
        self.cores.iter().find(|core| core.id == current)
    }
}

impl Core {
    fn running(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn count(self: &Arc<Self>, number: fn(&Self) -> &AtomicUsize) -> Counted {
        number(self).fetch_add(1, Ordering::Relaxed);
        Counted { core: Arc::clone(self), number }
    }
}

impl Place {
    /// Spawns the connection.
    pub(crate) fn spawn(self, connection: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.counted.core.runtime.clone();
        runtime.spawn(Task::new(connection, self.counted, self.home));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.number)(&self.core).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
