//! The arithmetic of a minute against what was admitted in every interval.

use fastrand::Rng;
use tokio::time::{Duration, Instant};

use super::super::{
    MinuteModel,
    level::{Level, Taken},
};

const QUOTA: u64 = 1_000;
const MINUTE: Duration = Duration::from_millis(700);

/// What was added to a level or taken back from it.
struct Change {
    at: Instant,
    amount: i128,
    is_admission: bool,
}

/// What was taken and is not final.
struct Open {
    taken: Taken,
    amount: u64,
}

#[test]
fn a_bucket_admits_in_no_interval_more_than_it_holds_and_refills() {
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut level = Level::new(QUOTA, MinuteModel::Bucket, MINUTE, now);
        let (mut changes, mut open) = (Vec::new(), Vec::<Open>::new());
        for _ in 0..300 {
            now += Duration::from_micros(random.u64(0..100_000));
            let amount = random.u64(0..400);
            match level.wait(amount, now) {
                None => {
                    changes.push(Change { at: now, amount: amount.into(), is_admission: true });
                    open.push(Open { taken: level.take(amount, now), amount });
                }
                Some(wait) => {
                    let mut before = now + wait - Duration::from_nanos(1);
                    if random.bool() {
                        assert!(level.wait(amount, before).is_some(), "seed {seed}: it fits before {wait:?}");
                        before += Duration::from_nanos(1);
                        assert!(level.wait(amount, before).is_none(), "seed {seed}: it does not fit after {wait:?}");
                        now = before;
                    }
                }
            }
            if random.bool() && !open.is_empty() {
                let Open { taken, amount } = open.swap_remove(random.usize(0..open.len()));
                let last = random.u64(0..=amount + 50);
                level.amend(taken, last, now);
                changes.push(Change { at: now, amount: i128::from(last) - i128::from(amount), is_admission: false });
            }
        }
        for (at, first) in changes.iter().enumerate() {
            let mut sum = 0;
            for change in &changes[at..] {
                sum += change.amount;
                let refilled = u128::from(QUOTA) * (change.at - first.at).as_nanos();
                let most = (u128::from(QUOTA) * MINUTE.as_nanos() + refilled).cast_signed();
                let is_over = sum * MINUTE.as_nanos().cast_signed() > most;
                assert!(!(change.is_admission && is_over), "seed {seed}: {sum} in {:?}", change.at - first.at);
            }
        }
    }
}

#[test]
fn a_window_admits_at_most_its_quota_in_every_minute() {
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut level = Level::new(QUOTA, MinuteModel::Window, MINUTE, now);
        // Every amount at the instant from which it counts.
        let mut history: Vec<(Instant, u64)> = Vec::new();
        let mut open: Vec<(usize, Taken)> = Vec::new();
        for _ in 0..300 {
            now += Duration::from_micros(random.u64(0..60_000));
            let sum = |history: &[(Instant, u64)]| -> u64 {
                history.iter().filter(|(at, _)| now - *at < MINUTE).map(|(_, amount)| amount).sum()
            };
            assert_eq!(level.used(now), sum(&history), "seed {seed}");
            let amount = random.u64(0..400);
            let fits = level.wait(amount, now).is_none();
            assert_eq!(fits, sum(&history) + amount <= QUOTA, "seed {seed}");
            if fits {
                open.push((history.len(), level.take(amount, now)));
                history.push((now, amount));
            }
            if random.bool() && !open.is_empty() {
                let (place, taken) = open.swap_remove(random.usize(0..open.len()));
                let last = random.u64(0..=history[place].1 + 50);
                level.amend(taken, last, now);
                let excess = last.saturating_sub(history[place].1);
                if excess > 0 {
                    history.push((now, excess));
                } else {
                    history[place].1 = last;
                }
            }
        }
    }
}

#[test]
fn a_wait_ends_when_there_is_room_in_a_window() {
    let start = Instant::now();
    let mut level = Level::new(QUOTA, MinuteModel::Window, MINUTE, start);
    let later = start + Duration::from_millis(100);
    level.take(600, start);
    level.take(400, later);
    assert_eq!(level.wait(500, later), Some(Duration::from_millis(600)));
    assert_eq!(level.wait(700, later), Some(MINUTE));
    assert_eq!(level.wait(1_001, later), Some(MINUTE));
    assert_eq!(level.wait(500, start + MINUTE), None);
}

#[test]
fn a_clock_that_stands_still_or_goes_back_refills_nothing() {
    let now = Instant::now() + MINUTE;
    let mut level = Level::new(QUOTA, MinuteModel::Bucket, MINUTE, now);
    level.take(QUOTA, now);
    let before = now.checked_sub(MINUTE).unwrap();
    assert_eq!(level.used(before), QUOTA);
    assert_eq!(level.used(now), QUOTA);
    assert_eq!(level.used(now + MINUTE / 2), QUOTA / 2);
    assert_eq!(level.used(now + MINUTE * 3), 0);
}
