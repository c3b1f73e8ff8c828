//! The time of day, which decides whether a token has expired. Everything about tokens reads it here, so that tests can move it.

use std::{fmt, sync::Arc, time::SystemTime};

/// A clock. Clones are the same clock.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub(super) fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// Another clock.
    #[cfg(test)]
    pub(super) fn of(time: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(time))
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
