//! Replaces the configuration when its files change. Connections keep the configuration of their handshake.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::warn;

use super::{
    Inner, Tls,
    files::{Contents, written},
    report,
};

/// The time before its end in which a certificate is reported to expire soon.
pub(crate) const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// The interval of warnings about a certificate that expires soon.
const WARN_EVERY: Duration = Duration::from_hours(24);

impl Tls {
    /// Reads the files now. Returns whether new handshakes use another configuration than before.
    ///
    /// # Errors
    /// All problems of the files. Then nothing has changed.
    pub(crate) async fn reload(&self) -> Result<bool, Vec<String>> {
        let inner = Arc::clone(&self.0);
        let read = spawn_blocking(move || inner.reload()).await;
        read.unwrap_or_else(|error| Err(vec![format!("the files of TLS were not read: {error}")]))
    }

    /// Reloads the files when they have changed, and on SIGHUP, while it is polled. `replaced` is then called with the end of the new
    /// certificate.
    pub(crate) async fn reload_when_changed(&self, replaced: impl Fn(&str)) {
        let mut reads = interval(self.0.settings.reload_interval);
        reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP is not received. The files of TLS are read at intervals"))
            .ok();
        let mut failed = Failed::default();
        let mut next_warning = Instant::now();
        loop {
            let forced = tokio::select! {
                _ = reads.tick() => false,
                () = received(hangup.as_mut()) => true,
            };
            match self.reload().await {
                Ok(changed) => {
                    failed = Failed::default();
                    if changed {
                        replaced(&written(self.0.current.load().expires));
                        next_warning = Instant::now();
                    }
                }
                Err(problems) if failed.is_news(&problems) || forced => warn!(
                    "the changed files of TLS cannot be used, so connections use those from before. Correct them:\n  - {}",
                    problems.join("\n  - ")
                ),
                Err(_) => {}
            }
            if Instant::now() >= next_warning && self.0.warn_of_expiry(SystemTime::now()) {
                next_warning = Instant::now() + WARN_EVERY;
            }
        }
    }
}

/// Waits for a signal. Without one it waits without end.
async fn received(signal: Option<&mut Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        pending::<()>().await;
    }
}

impl Inner {
    fn reload(&self) -> Result<bool, Vec<String>> {
        let contents = Contents::read(&self.settings)?;
        if contents.digest() == self.current.load().digest {
            return Ok(false);
        }
        let loaded = contents.load(&self.settings, SystemTime::now())?;
        self.metrics.certificate_expires(loaded.expires);
        report(&loaded, "the files of TLS have changed: new connections use them");
        self.current.store(Arc::new(loaded));
        Ok(true)
    }

    /// Warns if the certificate expires soon. Returns whether it does.
    pub(super) fn warn_of_expiry(&self, now: SystemTime) -> bool {
        let expires = self.current.load().expires;
        let soon = expires <= now + EXPIRES_SOON;
        if soon {
            let expires = written(expires);
            warn!(%expires, "the certificate of --tls-cert expires soon or has expired. Renew it; the new file is loaded without a restart");
        }
        soon
    }
}

/// The files that could not be loaded.
#[derive(Debug, Default)]
struct Failed {
    problems: Vec<String>,
    reported: bool,
}

impl Failed {
    /// Whether these problems are to be reported: once, when two reads in a row have found them. Files that are replaced one after the other do
    /// not match for a moment.
    fn is_news(&mut self, problems: &[String]) -> bool {
        if self.problems != problems {
            *self = Self { problems: problems.to_vec(), reported: false };
            return false;
        }
        !std::mem::replace(&mut self.reported, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_news_once_and_not_before_they_were_found_twice() {
        let mut failed = Failed::default();
        let [mismatch, half] = ["mismatch", "half"].map(|problem| vec![problem.to_owned()]);
        for (problems, is_news) in [
            (&mismatch, false),
            (&half, false),
            (&half, true),
            (&half, false),
            (&half, false),
            (&mismatch, false),
            (&mismatch, true),
            (&half, false),
        ] {
            assert_eq!(failed.is_news(problems), is_news, "{problems:?}");
        }
    }
}
