//! The rate against a bucket that is filled second by second, at any rate and in any order of events.

use std::ops::Range;

use proptest::prelude::*;

use super::*;

/// What happens to one client after so many nanoseconds.
#[derive(Clone, Debug)]
enum Event {
    Take(u32),
    Add(u32),
    GiveBack(u32),
}

/// A bucket that is refilled at each event: the level in parts of a unit.
struct Bucket {
    rate: u128,
    missing: u128,
}

impl Bucket {
    fn refill(&mut self, nanos: u64) {
        self.missing = self.missing.saturating_sub(u128::from(nanos) * self.rate);
    }

    /// Whether there were enough.
    fn take(&mut self, units: u32) -> bool {
        let missing = self.missing + u128::from(units) * UNIT;
        let enough = missing <= self.rate * UNIT;
        if enough {
            self.missing = missing;
        }
        enough
    }
}

fn any_rate() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(7), Just(u32::MAX), 1..1_000_u32, 1..=u32::MAX]
}

fn units(rate: u32) -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(rate), 1..=rate, any::<u32>()]
}

fn any_events(rate: u32, number: Range<usize>) -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        4 => units(rate).prop_map(Event::Take),
        1 => units(rate).prop_map(Event::Add),
        2 => units(rate).prop_map(Event::GiveBack),
    ];
    let pause = prop_oneof![Just(0), 1..1_000_u64, 0..120_000_000_000_u64, 0..3_000_000_000_000_000_u64];
    prop::collection::vec((pause, event), number)
}

fn any_case() -> impl Strategy<Value = (u32, Vec<(u64, Event)>)> {
    any_rate().prop_flat_map(|rate| (Just(rate), any_events(rate, 1..60)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_bucket_to_the_last_part((per_minute, events) in any_case(), start in 0..1_u64 << 60) {
        let rate = Rate::per_minute(NonZeroU32::new(per_minute).unwrap());
        let mut bucket = Bucket { rate: per_minute.into(), missing: 0 };
        let (mut full_at, mut elapsed) = (None, Duration::from_nanos(start));
        for (pause, event) in events {
            elapsed += Duration::from_nanos(pause);
            bucket.refill(pause);
            let now = rate.at(elapsed);
            match event {
                Event::Take(units) => match rate.take(full_at, now, units) {
                    Ok(taken) => {
                        prop_assert!(bucket.take(units));
                        full_at = Some(taken);
                    }
                    Err(Refused::Never) => prop_assert!(units > per_minute),
                    Err(Refused::Until(wait)) => {
                        prop_assert!(!bucket.take(units));
                        // It is enough after exactly this time, and not a nanosecond earlier.
                        let after = |wait: Duration| rate.take(full_at, rate.at(elapsed + wait), units);
                        prop_assert!(after(wait).is_ok());
                        prop_assert_eq!(after(wait.saturating_sub(Duration::from_nanos(1))), Err(Refused::Until(Duration::from_nanos(1))));
                    }
                },
                Event::Add(units) => {
                    full_at = Some(add(full_at, now, units));
                    bucket.missing += u128::from(units) * UNIT;
                }
                Event::GiveBack(units) => {
                    full_at = full_at.map(|full_at| give_back(full_at, units));
                    bucket.missing = bucket.missing.saturating_sub(u128::from(units) * UNIT);
                }
            }
            prop_assert_eq!(full_at.unwrap_or_default().saturating_sub(now), bucket.missing);
        }
    }

    #[test]
    fn what_is_used_never_exceeds_a_minutes_worth_and_what_the_time_has_brought(
        (per_minute, calls) in any_rate().prop_flat_map(|rate| {
            let call = (0..60_000_000_000_u64, 1..=rate, any::<u32>());
            (Just(rate), prop::collection::vec(call, 1..60))
        }),
    ) {
        let rate = Rate::per_minute(NonZeroU32::new(per_minute).unwrap());
        let (mut full_at, mut elapsed, mut used) = (None, Duration::ZERO, 0_u128);
        for (pause, reserved, share) in calls {
            elapsed += Duration::from_nanos(pause);
            let Ok(taken) = rate.take(full_at, rate.at(elapsed), reserved) else { continue };
            let actual = share % (reserved + u32::from(reserved < u32::MAX));
            full_at = Some(give_back(taken, reserved - actual));
            used += u128::from(actual);
            prop_assert!(used * UNIT <= u128::from(per_minute) * UNIT + rate.at(elapsed));
        }
    }
}

#[test]
fn every_unit_of_an_extreme_rate_comes_back_when_it_should() {
    for per_minute in [1, 7, 60_000_000, u32::MAX] {
        let rate = Rate::per_minute(NonZeroU32::new(per_minute).unwrap());
        let empty = rate.take(None, 0, per_minute).unwrap();
        // The time of one unit is rounded up to the next nanosecond, and no error adds up over a minute.
        let one = Duration::from_nanos(u64::try_from(UNIT.div_ceil(per_minute.into())).unwrap());
        assert_eq!(rate.take(Some(empty), 0, 1), Err(Refused::Until(one)));
        let minute = rate.at(Duration::from_mins(1));
        assert_eq!(empty, minute);
        rate.take(Some(empty), minute, per_minute).unwrap();
        rate.take(Some(empty), minute - 1, per_minute).unwrap_err();
    }
}
