//! The generic cell rate algorithm (GCRA) in integers: a bucket of units that refills evenly, and to which units can be returned.
//!
//! Time is measured in [`Parts`]. A nanosecond has as many parts as the rate has units per minute, so there is no division and no
//! rounding. The state of a client is one number.

use std::{num::NonZeroU32, time::Duration};

/// Parts of one unit of the rate: the nanoseconds of a minute.
pub(super) const UNIT: u128 = 60_000_000_000;

/// The longest wait that is reported, in nanoseconds. It is far above every debt, and a valid [`Duration`].
const LONGEST_WAIT: u128 = u64::MAX as u128 * 1_000_000;

/// A point in time or a duration, in parts of a nanosecond.
pub(super) type Parts = u128;

/// A rate in units per minute. The units of a minute can be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rate(NonZeroU32);

/// Why units cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// They can be taken after this time.
    Until(Duration),
    /// They are more than the units of a minute.
    Never,
}

impl Rate {
    pub(super) fn per_minute(per_minute: NonZeroU32) -> Self {
        Self(per_minute)
    }

    /// The units of a minute.
    pub(super) fn units(self) -> u32 {
        self.0.get()
    }

    /// A point in time, as the time since an earlier one.
    pub(super) fn at(self, elapsed: Duration) -> Parts {
        elapsed.as_nanos().saturating_mul(u128::from(self.0.get()))
    }

    /// Takes units from a bucket that is full again at `full_at`. Returns the time at which it is full again after that.
    ///
    /// # Errors
    /// If the bucket has fewer units. Then none is taken.
    pub(super) fn take(self, full_at: Option<Parts>, now: Parts, units: u32) -> Result<Parts, Refused> {
        let capacity = u128::from(self.0.get()) * UNIT;
        if units > self.0.get() {
            return Err(Refused::Never);
        }
        let full_at = add(full_at, now, units);
        match full_at.saturating_sub(now.saturating_add(capacity)) {
            0 => Ok(full_at),
            missing => {
                let wait = missing.div_ceil(u128::from(self.0.get())).min(LONGEST_WAIT);
                Err(Refused::Until(Duration::from_nanos_u128(wait)))
            }
        }
    }
}

/// Takes units that were used already, even if the bucket has fewer.
pub(super) fn add(full_at: Option<Parts>, now: Parts, units: u32) -> Parts {
    full_at.unwrap_or(now).max(now).saturating_add(u128::from(units) * UNIT)
}

/// Returns units to a bucket. A bucket whose time is in the past is full.
pub(super) fn give_back(full_at: Parts, units: u32) -> Parts {
    full_at.saturating_sub(u128::from(units) * UNIT)
}

#[cfg(test)]
mod tests;
