//! What a test logs.
//!
//! `tracing` remembers for each place in the code whether anyone reads what it logs. While there is one subscriber in the process, it asks the
//! thread that comes to the place first, and the subscriber of a test is that of its own thread alone: a test in another thread would hide the
//! lines. With a second subscriber it asks both.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// The lines that a thread logs, until this is dropped.
pub(crate) struct Captured {
    written: Written,
    _of_thread: DefaultGuard,
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

/// Captures what this thread logs, at `info` and above.
pub(crate) fn captured() -> Captured {
    let second = Dispatch::new(NoSubscriber::default());
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    Captured { written, _of_thread: set_default(subscriber), _second: second }
}

impl Captured {
    /// The lines until now, with their levels and targets.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.written.0.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_thread_that_logs_first_and_is_not_captured_hides_nothing() {
    let log = || tracing::info!("of both threads");
    let captured = captured();
    std::thread::spawn(log).join().unwrap();
    assert!(captured.lines().is_empty());
    log();
    assert_eq!(captured.lines().len(), 1);
}
