//! The days and months of UTC in which budgets apply, and the clock that names them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::{Date, Month, OffsetDateTime, Time};

const DAY: u64 = 24 * 60 * 60;

/// The last second of the year 9999, in seconds since 1970. Later times are this one.
const LATEST: u64 = 253_402_300_799;

/// The length of the period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Day,
    Month,
}

impl Kind {
    /// The number of the period with this time: days or months since 1970.
    pub(super) fn number_at(self, time: SystemTime) -> u32 {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LATEST);
        let days = u32::try_from(seconds / DAY).unwrap_or(u32::MAX);
        match self {
            Self::Day => days,
            Self::Month => {
                let time = i64::try_from(seconds).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
                time.map_or(0, |time| {
                    let years = u32::try_from(time.year() - 1970).unwrap_or_default();
                    12 * years + u32::from(u8::from(time.month())) - 1
                })
            }
        }
    }

    /// The first moment after the period with this number.
    pub(super) fn end_of(self, number: u32) -> SystemTime {
        let seconds = match self {
            Self::Day => Some(DAY.saturating_mul(u64::from(number) + 1)),
            Self::Month => first_of_month(number.saturating_add(1)),
        };
        UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or(LATEST).min(LATEST))
    }
}

/// The beginning of this month since 1970, in seconds since 1970. `None` after the year 9999.
fn first_of_month(number: u32) -> Option<u64> {
    let year = i32::try_from(number / 12).ok()?.checked_add(1970)?;
    let month = Month::try_from(u8::try_from(number % 12 + 1).ok()?).ok()?;
    let first = Date::from_calendar_date(year, month, 1).ok()?.with_time(Time::MIDNIGHT).assume_utc();
    u64::try_from(first.unix_timestamp()).ok()
}

/// The wall clock, which can jump.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that tests set.
    #[cfg(test)]
    pub(super) fn of(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(SystemTime::now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        humantime::parse_rfc3339(time).unwrap()
    }

    #[test]
    fn days_and_months_of_utc_follow_each_other_without_a_gap() {
        for (time, day_ends, month_ends) in [
            ("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z", "1970-02-01T00:00:00Z"),
            ("2026-11-26T23:59:59.999Z", "2026-11-27T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2100-02-28T12:00:00Z", "2100-03-01T00:00:00Z", "2100-03-01T00:00:00Z"),
        ] {
            for (kind, ends) in [(Kind::Day, day_ends), (Kind::Month, month_ends)] {
                let number = kind.number_at(at(time));
                assert_eq!(kind.end_of(number), at(ends), "{kind:?} of {time}");
                assert_eq!(kind.number_at(at(ends)), number + 1, "{kind:?} of {time}");
                assert_eq!(kind.number_at(at(ends) - Duration::from_nanos(1)), number, "{kind:?} of {time}");
            }
        }
    }

    #[test]
    fn a_clock_before_1970_or_after_9999_names_the_nearest_period() {
        for kind in [Kind::Day, Kind::Month] {
            assert_eq!(kind.number_at(UNIX_EPOCH - Duration::from_secs(1)), 0);
            let (last, later) =
                (UNIX_EPOCH + Duration::from_secs(LATEST), UNIX_EPOCH + Duration::from_secs(2 * LATEST));
            assert_eq!(kind.number_at(later), kind.number_at(last));
            for number in [kind.number_at(last), u32::MAX] {
                assert_eq!(kind.end_of(number), last);
            }
        }
    }
}
