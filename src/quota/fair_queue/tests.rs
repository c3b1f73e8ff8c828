//! No caller starves, and the order is fair, whatever waits and leaves.

#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

use std::collections::BTreeMap;

use super::*;

fn waiting(id: WaiterId, client: u32, weight: u32, tokens: u64) -> Waiting {
    Waiting { id, client: ClientId::Caller(client.to_string().into()), weight, is_batch: false, tokens }
}

/// The tokens that each client gets of this many.
fn shares(queue: &mut FairQueue, tokens: u64) -> BTreeMap<String, u64> {
    let (mut shares, mut all) = (BTreeMap::new(), 0);
    while all < tokens {
        let begun = queue.begin_first().unwrap();
        all += begun.tokens;
        *shares.entry(begun.client.to_string()).or_default() += begun.tokens;
    }
    shares
}

#[test]
fn callers_get_tokens_by_their_weights_whatever_the_number_and_size_of_their_calls() {
    let mut queue = FairQueue::default();
    for id in 0..3_000 {
        queue.push(waiting(id, 1, 100, 10));
        queue.push(waiting(10_000 + id, 2, 100, 1_000));
        queue.push(waiting(20_000 + id, 3, 300, 30));
    }
    let shares = shares(&mut queue, 60_000);
    for (client, expected) in [("1", 12_000), ("2", 12_000), ("3", 36_000)] {
        assert!(shares[client].abs_diff(expected) <= 1_000, "{shares:?}");
    }
}

#[test]
fn a_caller_that_comes_new_is_next_and_has_no_credit_for_the_time_before() {
    let mut queue = FairQueue::default();
    (0..100).for_each(|id| queue.push(waiting(id, 1, 100, 10)));
    (0..50).for_each(|_| drop(queue.begin_first()));
    (200..300).for_each(|id| queue.push(waiting(id, 2, 100, 10)));
    let shares = shares(&mut queue, 400);
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [200, 200], "{shares:?}");
}

#[test]
fn the_calls_of_a_caller_keep_their_order() {
    let mut queue = FairQueue::default();
    (0..10).for_each(|id| queue.push(waiting(id, 1, 100, 1 + id % 3)));
    queue.remove(&ClientId::Caller("1".into()), false, 4);
    let begun: Vec<_> = std::iter::from_fn(|| queue.begin_first()).map(|waiting| waiting.id).collect();
    assert_eq!(begun, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(queue.len(), 0);
}

#[test]
fn batch_gives_way_and_still_goes_on() {
    let mut queue = FairQueue::default();
    for id in 0..1_000 {
        queue.push(waiting(id, 1, 100, 10));
        queue.push(Waiting { is_batch: true, ..waiting(10_000 + id, 2, 1_000, 10) });
    }
    let shares = shares(&mut queue, 2_100);
    assert_eq!((shares["1"], shares["2"]), (2_000, 100), "{shares:?}");
}

#[test]
fn batch_that_had_the_quota_alone_owes_nothing_to_who_comes_later() {
    let mut queue = FairQueue::default();
    let batch = |id| Waiting { is_batch: true, ..waiting(id, 2, 100, 10) };
    (0..1_000).for_each(|id| queue.push(batch(id)));
    (0..1_000).for_each(|_| drop(queue.begin_first()));
    for id in 1_000..2_000 {
        queue.push(waiting(id, 1, 100, 10));
        queue.push(batch(10_000 + id));
    }
    let shares = shares(&mut queue, 2_100);
    assert_eq!((shares["1"], shares.get("2")), (2_000, Some(&100)), "{shares:?}");
}

#[test]
fn callers_that_do_not_come_again_are_forgotten_while_others_wait() {
    let mut queue = FairQueue::default();
    queue.push(waiting(0, 0, 100, 1_000_000));
    for id in 1..10_000 {
        queue.push(waiting(id, id as u32, 100, 1 + id % 7));
        let client = ClientId::Caller(id.to_string().into());
        if id % 2 == 0 { queue.remove(&client, false, id) } else { drop(queue.begin_first()) }
    }
    let known = queue.classes[0].callers.len();
    assert!(known <= queue.len() + MAX_IDLE + 1, "{known} callers are known, and {} calls wait", queue.len());
}

#[test]
fn the_calls_before_one_are_estimated() {
    let mut queue = FairQueue::default();
    (0..10).for_each(|id| queue.push(waiting(id, 1, 100, 10)));
    (10..12).for_each(|id| queue.push(waiting(id, 2, 100, 10)));
    let before =
        |queue: &FairQueue, client: u32, id| queue.before(&ClientId::Caller(client.to_string().into()), false, id);
    assert_eq!(before(&queue, 2, 10), Some((1, 10)), "one of the other caller");
    assert_eq!(before(&queue, 1, 9), Some((11, 110)), "its own, and both of the other caller");
    assert_eq!(before(&queue, 1, 11), None);
}

/// Whatever comes, begins and leaves: each call begins at most once, none is lost, and while two callers wait all the time, what they get for
/// their weights differs by no more than their largest calls.
#[test]
fn calls_that_come_begin_and_leave_in_any_order_are_served_fairly() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let (mut queue, mut waits, mut got) = (FairQueue::default(), BTreeMap::new(), [0_u64; 2]);
        let weights = [random.u32(1..200), random.u32(1..200)];
        for id in 0..500 {
            let (client, tokens) = (random.usize(..4), random.u64(1..100));
            let weight = weights.get(client).copied().unwrap_or(50);
            // The first two callers always have enough that waits.
            for (number, weight) in weights.iter().enumerate() {
                for more in 0..2 {
                    let id = 100_000 + id * 10 + number as u64 * 2 + more;
                    queue.push(waiting(id, number as u32, *weight, random.u64(1..100)));
                    waits.insert(id, number);
                }
            }
            queue.push(waiting(id, client as u32, weight, tokens));
            waits.insert(id, client);
            if random.bool()
                && let Some((&id, &client)) = waits.iter().nth(random.usize(..waits.len()))
                && client > 1
            {
                queue.remove(&ClientId::Caller(client.to_string().into()), false, id);
                waits.remove(&id);
            }
            for _ in 0..random.usize(..4) {
                let Some(begun) = queue.begin_first() else { break };
                let client = waits.remove(&begun.id);
                assert!(client.is_some(), "seed {seed}: {begun:?} began twice or had left");
                if let Some(client @ 0..=1) = client {
                    got[client] += begun.tokens;
                }
            }
            assert_eq!(queue.len(), waits.len(), "seed {seed}");
        }
        let [one, two] = [0, 1].map(|at| got[at] as f64 / f64::from(weights[at]));
        let largest = 100.0 / f64::from(*weights.iter().min().unwrap());
        assert!((one - two).abs() <= 2.0 * largest + 0.1, "seed {seed}: {got:?} for {weights:?}");
    }
}
