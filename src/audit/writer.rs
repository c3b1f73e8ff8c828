//! Writes lines to a file in a thread of its own, because a disk can be slow, full or gone, and no call may wait for it.
//!
//! Lines that wait are written together. What cannot be written is tried again, and nothing after it is written before it: the file has no gap
//! and no torn line. When the file was moved away, as logrotate does, it is created again within a second.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use crate::metrics::Metrics;

/// The wait before lines are tried again, and the interval in which the name of the file is looked up.
const RETRY: Duration = Duration::from_secs(1);

/// The maximum number of lines that are written together.
const BATCH: usize = 4_096;

/// The wait after a write, in which lines gather. Waking this thread for each line would cost the calls more than their lines.
const GATHER: Duration = Duration::from_millis(20);

/// A line, and the place that it takes until it is written.
type Entry = (String, Option<OwnedSemaphorePermit>);

/// The queue to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once it is closed.
    queue: Mutex<Option<SyncSender<Entry>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Writer {
    /// Opens the file and starts the thread. At most `length` lines wait.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn start(path: PathBuf, length: usize, metrics: Metrics) -> io::Result<Self> {
        let file =
            AuditFile { file: open(&path)?, path, looked_up: Instant::now(), written: 0, failing: false, metrics };
        let (queue, entries) = sync_channel(length);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("audit-log".to_owned()).spawn(move || {
            file.run(&entries);
            // The server may have ended without waiting.
            let _ = end.send(());
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), ended: Mutex::new(Some(ended)) })
    }

    /// Puts a line into the queue. `false` if it is full: the line is lost.
    pub(super) fn write(&self, line: String, place: Option<OwnedSemaphorePermit>) -> bool {
        self.queue.lock().as_ref().is_some_and(|queue| queue.try_send((line, place)).is_ok())
    }

    /// Waits until all lines are written, at most for this time.
    pub(super) async fn close(&self, within: Duration) {
        drop(self.queue.lock().take());
        let Some(ended) = self.ended.lock().take() else { return };
        if timeout(within, ended).await.is_err() {
            warn!("the last lines of the audit log were not written within {within:?}");
        }
    }
}

struct AuditFile {
    path: PathBuf,
    file: File,
    /// When the name of the file was looked up.
    looked_up: Instant,
    /// The bytes of the present lines that are in the file.
    written: usize,
    failing: bool,
    metrics: Metrics,
}

impl AuditFile {
    fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok((mut lines, place)) = entries.recv() {
            let mut places = vec![place];
            for (line, place) in entries.try_iter().take(BATCH) {
                lines.push_str(&line);
                places.push(place);
            }
            self.written = 0;
            while let Err(error) = self.append(lines.as_bytes()) {
                self.fails(&error);
                thread::sleep(RETRY);
            }
            if self.failing {
                self.failing = false;
                info!(path = %self.path.display(), "the audit log is written again");
            }
            drop(places);
            thread::sleep(GATHER);
        }
    }

    /// Writes the rest of these lines.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // Between two lines only, so that none is torn.
        if self.written == 0 && self.looked_up.elapsed() >= RETRY {
            if !is_at(&self.file, &self.path) {
                self.file = open(&self.path)?;
            }
            self.looked_up = Instant::now();
        }
        while self.written < lines.len() {
            match self.file.write(&lines[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fails(&mut self, error: &io::Error) {
        self.metrics.audit_write_failed();
        if !self.failing {
            self.failing = true;
            warn!(%error, path = %self.path.display(), "the audit log cannot be written, trying again. Make room on its disk");
        }
    }
}

/// Opens the file for appending. Only its owner can read a new one.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Whether this file is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
