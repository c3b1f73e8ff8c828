//! The sequential specification, rule by rule.

use super::{
    super::{
        initial_share,
        specification::{Ledger, Rules},
        table::{CONFIRMING, LEASE, REMEMBERED, Reply, Request, ServerId, millis},
    },
    request,
};

const BEGIN: u64 = 1_700_000_000_000;
const A: ServerId = ServerId(1);
const B: ServerId = ServerId(2);
const C: ServerId = ServerId(3);

/// A table at a time.
struct At {
    ledger: Ledger,
    now: u64,
    sequence: u64,
}

impl At {
    /// A table on which `A` has had a lease for long enough to let shares grow.
    fn settled(capacity: u64) -> Self {
        let mut at = Self { ledger: Ledger::default(), now: BEGIN, sequence: 0 };
        at.ask(A, Request { held: initial_share(capacity), ..request(0, capacity) });
        at.now += millis(CONFIRMING);
        at
    }

    fn ask(&mut self, server: ServerId, request: Request) -> Reply {
        self.sequence += 1;
        let request = Request { sequence: self.sequence, ..request };
        self.ledger.renew(self.now, server, &request, Rules::default())
    }
}

#[test]
fn a_new_table_confirms_what_servers_hold_and_grants_no_growth() {
    let mut at = At { ledger: Ledger::default(), now: BEGIN, sequence: 0 };
    let held = |held| Request { held, wanted: 100, ..request(0, 100) };
    assert_eq!(at.ask(A, held(60)).held, 60);
    // The sum stays at the capacity, whatever servers say.
    assert_eq!(at.ask(B, held(60)).held, 40);
    assert_eq!(at.ask(C, held(10)).held, 0);
    at.now += millis(CONFIRMING) - 1;
    assert_eq!(at.ask(B, held(10)).held, 10);
    assert_eq!(at.ask(C, held(0)).held, 0);
    at.now += 1;
    assert_eq!(at.ask(C, held(0)).held, 30);
}

#[test]
fn a_server_alone_is_granted_everything_and_idle_servers_share_equally() {
    let mut at = At::settled(100);
    assert_eq!(at.ask(A, Request { held: 10, ..request(0, 100) }).held, 100);
    // B finds nothing free, until A has confirmed the smaller share.
    assert_eq!(at.ask(B, request(0, 100)).held, 0);
    assert_eq!(at.ask(A, Request { held: 100, ..request(0, 100) }).held, 50);
    assert_eq!(at.ask(B, request(0, 100)).held, 0);
    assert_eq!(at.ask(A, Request { held: 50, ..request(0, 100) }).held, 50);
    assert_eq!((at.ask(B, request(0, 100)).held, at.ledger.held(at.now)), (50, 100));
}

#[test]
fn shares_are_max_min_fair_and_the_sum_is_the_capacity() {
    let mut at = At::settled(100);
    let mut held = [0; 3];
    for _ in 0..4 {
        for (server, wanted, in_use) in [(A, 10, 0), (B, 90, 0), (C, 90, 3)] {
            let held = &mut held[usize::try_from(server.0).unwrap() - 1];
            *held = at.ask(server, Request { held: *held, wanted, in_use, ..request(0, 100) }).held;
        }
    }
    assert_eq!(held, [10, 45, 45]);
    // What is in use is not taken away.
    let mut at = At::settled(10);
    assert_eq!(at.ask(A, Request { held: 1, wanted: 10, ..request(0, 10) }).held, 10);
    let busy = Request { held: 10, wanted: 10, in_use: 8, ..request(0, 10) };
    assert_eq!(at.ask(B, Request { wanted: 10, ..request(0, 10) }).held, 0);
    assert_eq!(at.ask(A, busy).held, 8);
}

#[test]
fn an_idle_server_keeps_a_small_share_while_others_want_everything() {
    let mut at = At::settled(1_000);
    at.ask(B, request(0, 1_000));
    at.ask(A, Request { held: 100, wanted: 5_000, ..request(0, 1_000) });
    assert_eq!(at.ask(B, request(0, 1_000)).held, 25);
}

#[test]
fn what_cannot_be_divided_goes_round() {
    let mut at = At::settled(1);
    let mut with = [0_u32; 3];
    for _ in 0..60 {
        at.now += millis(LEASE) / 2;
        let shares = [A, B, C].map(|server| {
            let row = at.ledger.rows.get(&server).map_or(0, |row| row.held);
            let shrunk = at.ask(server, Request { held: row, wanted: 1, ..request(0, 1) }).held;
            at.ask(server, Request { held: shrunk, wanted: 1, ..request(0, 1) }).held
        });
        assert!(shares.iter().sum::<u64>() <= 1);
        for (with, share) in with.iter_mut().zip(shares) {
            *with += u32::from(share == 1);
        }
    }
    assert!(with.iter().all(|with| *with > 5), "{with:?}");
}

#[test]
fn a_lease_expires_after_ten_seconds_and_not_before() {
    let mut at = At::settled(100);
    at.ask(A, Request { held: 10, wanted: 100, ..request(0, 100) });
    let hungry = Request { wanted: 100, ..request(0, 100) };
    at.ask(B, hungry.clone());
    at.now += millis(LEASE) - 1;
    assert_eq!(at.ask(B, hungry.clone()).held, 0);
    at.now += 1;
    assert_eq!(at.ask(B, hungry).held, 100);
    assert_eq!(at.ledger.rows.len(), 2);
    // A comes back, and is told that its share has gone.
    let back = at.ask(A, Request { held: 100, wanted: 100, ..request(0, 100) });
    assert_eq!((back.held, back.servers), (0, 2));
}

#[test]
fn a_table_without_leases_is_new_unless_all_have_left() {
    let mut at = At::settled(100);
    at.ask(A, Request { held: 10, ..request(0, 100) });
    at.now += millis(LEASE);
    assert_eq!(at.ask(B, request(0, 100)).held, 0, "A may still use its share");
    at.now += millis(CONFIRMING);
    assert_eq!(at.ask(B, request(0, 100)).held, 100);
    assert_eq!(at.ask(B, Request { leaving: true, ..request(0, 100) }).held, 0);
    at.now += REMEMBERED.as_secs() * 999;
    assert_eq!(at.ask(C, request(0, 100)).held, 100, "nothing can be in use");
    at.now += 2 * millis(REMEMBERED);
    assert_eq!(at.ask(C, request(0, 100)).servers, 1);
    assert_eq!(at.ledger.rows.len(), 1, "servers are forgotten");
}

#[test]
fn a_late_duplicate_changes_nothing() {
    let mut at = At::settled(100);
    let old = Request { sequence: 2, held: 10, ..request(0, 100) };
    at.sequence = 2;
    at.ask(A, Request { held: 10, wanted: 100, spent: 5, ..request(0, 100) });
    let before = at.ledger.clone();
    let reply = at.ledger.renew(at.now, A, &Request { spent: 90, ..old }, Rules::default());
    assert_eq!((reply.held, reply.spent, &at.ledger), (95, 5, &before));
    // Also one that arrives after the server has left.
    at.ask(A, Request { leaving: true, spent: 5, ..request(0, 100) });
    let before = at.ledger.clone();
    let late = Request { sequence: 3, held: 95, ..request(0, 100) };
    assert_eq!(at.ledger.renew(at.now, A, &late, Rules::default()).held, 0);
    assert_eq!(at.ledger, before);
}

#[test]
fn spending_counts_once_however_often_it_is_sent() {
    let mut at = At::settled(100);
    let spent = |spent| Request { held: 0, spent, ..request(0, 100) };
    let born = at.ask(A, spent(5)).born;
    for _ in 0..3 {
        assert_eq!(at.ask(A, spent(30)).spent, 30);
    }
    assert_eq!(at.ask(B, spent(20)).spent, 50);
    // A server that was forgotten does not count again what was confirmed.
    at.now += 2 * millis(REMEMBERED);
    assert_eq!(at.ask(A, Request { confirmed: 30, born, ..spent(37) }).spent, 57);
    // A table that was emptied learns all of it.
    at.ledger = Ledger::default();
    at.now += 1;
    assert_eq!(at.ask(A, Request { confirmed: 37, born, ..spent(40) }).spent, 40);
}

#[test]
fn what_was_spent_is_no_longer_shared() {
    let mut at = At::settled(100);
    at.ask(A, Request { held: 10, ..request(0, 100) });
    let reply = at.ask(A, Request { held: 40, spent: 60, ..request(0, 100) });
    assert_eq!((reply.held, reply.spent), (40, 60));
    // Spending above the share is counted too, and then nothing is left.
    let reply = at.ask(A, Request { held: 0, spent: 150, ..request(0, 100) });
    assert_eq!((reply.held, reply.spent), (0, 150));
    assert_eq!(at.ask(B, request(0, 100)).held, 0);
}

#[test]
fn servers_with_different_capacities_hold_at_most_the_larger() {
    let mut at = At::settled(100);
    at.ask(A, Request { held: 10, wanted: 200, ..request(0, 100) });
    assert_eq!(at.ask(B, Request { wanted: 200, ..request(0, 150) }).held, 50);
    at.ask(A, Request { held: 100, wanted: 200, ..request(0, 50) });
    assert_eq!(at.ask(B, Request { held: 50, wanted: 200, ..request(0, 150) }).held, 50);
    assert_eq!(at.ledger.held(at.now), 150);
    assert_eq!(at.ask(A, Request { held: 25, wanted: 200, ..request(0, 50) }).held, 25);
    assert_eq!(at.ledger.held(at.now), 75);
}

#[test]
fn a_clock_that_jumps_holds_no_share_for_longer_than_a_lease() {
    let mut at = At::settled(100);
    at.ask(A, Request { held: 10, wanted: 100, ..request(0, 100) });
    let hungry = Request { wanted: 100, ..request(0, 100) };
    // Back by an hour: the lease of A ends 10 s later, by the new time.
    at.now -= 3_600_000;
    at.ask(B, hungry.clone());
    at.now += millis(LEASE) - 1;
    assert_eq!(at.ask(B, hungry.clone()).held, 0);
    at.now += 1;
    assert_eq!(at.ask(B, hungry.clone()).held, 100);
    // Forward by an hour: B may use its share still, so A gets nothing of it for a while.
    at.now += 3_600_000;
    assert_eq!(at.ask(A, hungry.clone()).held, 0);
    assert_eq!(at.ask(B, Request { held: 100, ..hungry }).held, 50);
}
