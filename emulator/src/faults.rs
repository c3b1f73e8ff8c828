//! Faults for a share of all requests, drawn from a seed: `throttle=5%,cut=1%`.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use fastrand::Rng;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    playback,
    script::{At, Fault, FaultKind, Script, Step, mixed},
};

/// The most frames among which the place of a fault is drawn.
const PLACES: usize = 1_000;

/// A fault that requests can have at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RandomFault {
    /// 429 `ThrottlingException`.
    Throttle,
    /// 503 `ServiceUnavailableException`.
    Unavailable,
    /// 500 `InternalServerException`.
    Internal,
    /// `modelStreamErrorException` in the middle.
    Exception,
    /// A body that ends early and cleanly.
    End,
    /// A connection that closes in the middle.
    Cut,
    /// A connection that is reset in the middle.
    Reset,
    /// An answer that stops in the middle without an end.
    Stall,
    /// A frame with a wrong checksum.
    Corrupt,
}

impl RandomFault {
    const ALL: [Self; 9] = [
        Self::Throttle,
        Self::Unavailable,
        Self::Internal,
        Self::Exception,
        Self::End,
        Self::Cut,
        Self::Reset,
        Self::Stall,
        Self::Corrupt,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::Exception => "exception",
            Self::End => "end",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::Corrupt => "corrupt",
        }
    }
}

/// The share of requests that have each fault, from 0 to 1. Together they are at most 1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Faults(BTreeMap<RandomFault, f64>);

/// Why faults cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultsError(String);

impl Faults {
    /// These shares.
    ///
    /// # Errors
    /// If a share is not from 0 to 1, or together they are more than 1.
    pub fn new(shares: impl IntoIterator<Item = (RandomFault, f64)>) -> Result<Self, FaultsError> {
        let faults = Self(shares.into_iter().collect());
        faults.check()?;
        Ok(faults)
    }

    pub(crate) fn check(&self) -> Result<(), FaultsError> {
        if let Some((fault, share)) = self.0.iter().find(|(_, share)| !(0.0..=1.0).contains(*share)) {
            return Err(FaultsError(format!("the share of {} is {share}, which is not from 0 to 1", fault.name())));
        }
        let sum: f64 = self.0.values().sum();
        if sum > 1.0 + 1e-9 {
            return Err(FaultsError(format!("the shares are {sum} together, over 1")));
        }
        Ok(())
    }

    /// The script with the fault of this request, if it has one. The same seed and number give the same fault.
    ///
    /// # Errors
    /// The script that refuses the request.
    fn apply(&self, seed: u64, number: u64, mut script: Script) -> Result<Script, Box<Script>> {
        let mut random = Rng::with_seed(mixed(seed, number));
        let mut drawn = random.f64();
        let hit = self.0.iter().find(|(_, share)| {
            drawn -= **share;
            drawn < 0.0
        });
        let Some((fault, _)) = hit else { return Ok(script) };
        let refuse = |status, exception, message| Err(Box::new(Script::refuse(status, exception, message)));
        let kind = match fault {
            RandomFault::Throttle => {
                return refuse(429, "ThrottlingException", "Too many requests, please wait before trying again.");
            }
            RandomFault::Unavailable => {
                return refuse(503, "ServiceUnavailableException", "The service is temporarily unavailable.");
            }
            RandomFault::Internal => return refuse(500, "InternalServerException", "An internal error occurred."),
            RandomFault::Exception => {
                let place = random.usize(0..=script.steps.len());
                script.steps.truncate(place);
                script.steps.push(Step::exception("modelStreamErrorException", "The model stopped unexpectedly."));
                return Ok(script);
            }
            RandomFault::End => FaultKind::End,
            RandomFault::Cut => FaultKind::Cut,
            RandomFault::Reset => FaultKind::Reset,
            RandomFault::Stall => FaultKind::Stall,
            RandomFault::Corrupt => FaultKind::Corrupt,
        };
        let is_frame = |step: &Step| !matches!(step, Step::WaitMs(_));
        let steps = playback::expand(playback::pruned(&script.steps, &is_frame));
        let frames = steps.take(PLACES).count();
        script.fault = (frames > 0).then(|| Fault { kind, at: At::Event(random.usize(0..frames)) });
        Ok(script)
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    /// Reads `throttle=5%,cut=0.01`.
    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let names = || RandomFault::ALL.map(RandomFault::name).join(", ");
        let form =
            |part: &str| FaultsError(format!("{part:?} is not FAULT=SHARE, such as throttle=5%. Faults: {}", names()));
        let mut faults = Self::default();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or_else(|| form(part))?;
            let fault = RandomFault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| form(part))?;
            let (number, scale) = share.strip_suffix('%').map_or((share, 1.0), |number| (number, 100.0));
            let share: f64 = number.parse().map_err(|_| form(part))?;
            if faults.0.insert(fault, share / scale).is_some() {
                return Err(FaultsError(format!("{name} has two shares")));
            }
        }
        faults.check()?;
        Ok(faults)
    }
}

/// The faults of an emulator, and its seed.
#[derive(Default)]
pub(crate) struct Chance {
    pub(crate) seed: u64,
    faults: Mutex<Faults>,
    /// Those that it was started with.
    started: Faults,
    /// The number of the last request before the reset. What is drawn for a request depends on how many came after it.
    before: AtomicU64,
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chance").field("seed", &self.seed).field("faults", &*self.faults.lock()).finish_non_exhaustive()
    }
}

impl Chance {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self { seed, faults: Mutex::new(faults.clone()), started: faults, before: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    /// Draws for the request after this number as for the first one, with the faults of the start.
    pub(crate) fn reset(&self, last: u64) {
        self.before.store(last, Ordering::Relaxed);
        self.set(self.started.clone());
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults.lock().clone()
    }

    /// The script as the request of this number gets it: with pauses of its own, and perhaps a fault. A script that refuses or has a fault
    /// keeps it.
    ///
    /// # Errors
    /// The script that refuses the request.
    pub(crate) fn apply(&self, number: u64, mut script: Script) -> Result<Script, Box<Script>> {
        let number = number.saturating_sub(self.before.load(Ordering::Relaxed));
        script.pace.seed = mixed(self.seed ^ script.pace.seed, number);
        if script.refuse.is_some() || script.fault.is_some() {
            return Ok(script);
        }
        self.faults.lock().apply(self.seed, number, script)
    }
}

#[cfg(test)]
mod tests;
