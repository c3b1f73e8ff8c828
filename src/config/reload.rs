//! Reads the configuration file again when it changes, and on SIGHUP.
//!
//! The file is looked at again and again, because a mounted ConfigMap changes by a swap of symbolic links, which is no event of the file. It
//! is used when two looks in a row find the same content, so that a file that is being written is not used half-written. A file with
//! problems changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{Interval, MissedTickBehavior, interval},
};

use tracing::info;

use super::{
    Command, Inputs, Layers, Settings,
    file::{ConfigFile, ContentHash, hash},
};
use crate::error::ConfigError;

/// The interval of the looks at the file. A change takes effect after two of them.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of looks after which a file that was refused is tried again: the reason may have been another file, such as a certificate that is
/// being replaced.
const TRY_AGAIN: u32 = 10;

/// The flags whose values a running server takes over, without their hyphens.
const APPLIED: [&str; 15] = [
    "cache-affinity",
    "default-model",
    "log",
    "max-streams",
    "max-streams-per-caller",
    "max-streams-per-model",
    "other-requests-per-minute",
    "queue-length",
    "queue-time",
    "quota-queue-length",
    "quota-queue-time",
    "requests-per-minute",
    "reserved-tokens",
    "route",
    "tokens-per-minute",
];

/// Watches the configuration file.
pub struct Watcher {
    inputs: Inputs,
    /// `None`: there is no file, and SIGHUP changes nothing.
    path: Option<String>,
    /// The values with which the server was started.
    started: BTreeMap<String, Vec<String>>,
    /// The region of the server.
    home: String,
    /// Whether the settings that are in force have callers.
    has_callers: bool,
    /// The content that was used or refused.
    seen: ContentHash,
    /// Other content that the last look has found.
    found: Option<ContentHash>,
    /// The problems of the content that was seen, if it was refused, and the number of looks since.
    refused: Option<(ConfigError, u32)>,
    hangup: Signal,
    looks: Interval,
}

/// The values can have secrets.
impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a changed file leads to.
#[derive(Debug)]
pub enum Change {
    /// New settings.
    Settings {
        /// The settings, of which a running server can take over some.
        settings: Box<Settings>,
        /// The keys with other values that only a new start takes over.
        at_next_start: Vec<String>,
    },
    /// The file cannot be used.
    Refused(ConfigError),
}

impl Watcher {
    /// Watches the file of these inputs from now on, if there is one. `home` is the region of the server.
    ///
    /// # Errors
    /// If no handler for SIGHUP can be installed.
    pub fn new(inputs: &Inputs, layers: &Layers, settings: &Settings, home: &str) -> io::Result<Self> {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            inputs: inputs.clone(),
            path: layers.file.as_ref().map(|file| file.path.clone()),
            started: layers.values.clone(),
            home: home.to_owned(),
            has_callers: !settings.identity.callers.is_empty(),
            seen: layers.file.as_ref().map(|file| file.hash).unwrap_or_default(),
            found: None,
            refused: None,
            hangup: signal(SignalKind::hangup())?,
            looks,
        })
    }

    /// Waits for the next change. It can be dropped at any time.
    pub async fn changed(&mut self) -> Change {
        loop {
            let forced = tokio::select! {
                _ = self.looks.tick() => false,
                _ = self.hangup.recv() => true,
            };
            if let Some(change) = self.look(forced).await {
                return change;
            }
        }
    }

    /// Looks at the file once. `forced` uses it at once, also if it has not changed, because files that it names can have changed.
    pub(super) async fn look(&mut self, forced: bool) -> Option<Change> {
        let Some(path) = self.path.clone() else {
            if forced {
                info!("there is no configuration file to read again");
            }
            return None;
        };
        let read = blocking({
            let path = path.clone();
            move || ConfigFile::read(&path)
        })
        .await?;
        let (Ok(text) | Err(text)) = &read;
        let found = hash(text);
        if !forced && !self.is_due(found) {
            return None;
        }
        let is_the_same = found == self.seen;
        (self.seen, self.found) = (found, None);
        let (inputs, home) = (self.inputs.clone(), self.home.clone());
        let loaded = blocking(move || load(&inputs, home, read)).await?;
        match loaded.and_then(|loaded| self.keeps_callers(loaded, &path)) {
            Ok((settings, values)) => {
                self.refused = None;
                self.has_callers = !settings.identity.callers.is_empty();
                Some(Change::Settings { settings: Box::new(settings), at_next_start: self.at_next_start(&values) })
            }
            Err(error) => {
                let reported = self.refused.replace((error.clone(), 0));
                let is_reported = is_the_same && reported.is_some_and(|(problems, _)| problems == error);
                (forced || !is_reported).then_some(Change::Refused(error))
            }
        }
    }

    /// Whether content is used now: new content that two looks have found, or content that was refused a while ago.
    fn is_due(&mut self, found: ContentHash) -> bool {
        if found != self.seen {
            return self.found.replace(found) == Some(found);
        }
        self.found = None;
        self.refused.as_mut().is_some_and(|(_, looks)| {
            *looks += 1;
            *looks >= TRY_AGAIN
        })
    }

    /// Refuses settings that would open a server that has callers.
    fn keeps_callers(&self, loaded: Loaded, path: &str) -> Result<Loaded, ConfigError> {
        if self.has_callers && loaded.0.identity.callers.is_empty() {
            return Err(ConfigError(vec![format!(
                "{path} has no [[caller]] any more, and a server without callers serves every client. Restart the server to do that"
            )]));
        }
        Ok(loaded)
    }

    /// The keys whose values differ from the start and are not taken over.
    fn at_next_start(&self, values: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let flags: BTreeSet<_> = self.started.keys().chain(values.keys()).collect();
        let differs = |flag: &&String| self.started.get(*flag) != values.get(*flag);
        let applied = |flag: &&String| APPLIED.contains(&flag.as_str());
        flags.into_iter().filter(differs).filter(|flag| !applied(flag)).map(|flag| flag.replace('-', "_")).collect()
    }
}

type Loaded = (Settings, BTreeMap<String, Vec<String>>);

fn load(inputs: &Inputs, home: String, read: Result<String, String>) -> Result<Loaded, ConfigError> {
    let loaded = inputs.load_with(|_| read);
    let (cli, mut layers) = loaded.map_err(|error| ConfigError(vec![error.to_string()]))?;
    (layers.of_running_server, layers.home) = (true, Some(home));
    let Command::Serve(args) = cli.command else {
        return Err(ConfigError(vec!["only `outcrop serve` reads its file again".to_owned()]));
    };
    Ok((args.resolve(&layers)?, layers.values))
}

/// Runs this where it can wait for a disk. `None` if the runtime ends meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
