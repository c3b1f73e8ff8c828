//! Tests of the embedded engine on a disk that fills up, fails and loses what was not synced.

mod budgets;
mod disk;

use std::time::Duration;

use self::disk::Disk;
use super::*;
use crate::{
    conversation::{bounds::Bounds, store::Head},
    proto::{Conversation, Message, Turn},
};

fn key() -> Key {
    Key { owner: String::new(), id: "c".to_owned() }
}

fn create(store: &Embedded) {
    let record = Record { origin: Conversation::default(), head: Head { used_at: now(), ..Head::default() } };
    let limits = OwnerLimits { conversations: 10, bytes: u64::MAX };
    assert_eq!(store.file.change(|tables| tables.create(&key(), &record, limits)).unwrap(), Created::Stored);
}

const NO_BOUNDS: Bounds =
    Bounds { messages: u32::MAX, tokens: u32::MAX, bytes: u64::MAX, age: Duration::from_hours(1) };

/// Takes the lease and stores a turn, in this thread.
fn turn(store: &Embedded, turn_id: &str) -> Result<Appended, StoreError> {
    turn_within(store, turn_id, NO_BOUNDS)
}

fn turn_within(store: &Embedded, turn_id: &str, bounds: Bounds) -> Result<Appended, StoreError> {
    let fence = {
        let mut leases = store.leases.lock();
        leases.last += 1;
        let fence = leases.last;
        assert!(leases.held.insert(key(), ActiveLease { fence, storing: false }).is_none(), "the last lease has ended");
        fence
    };
    let messages = vec![Message::default(), Message::default()];
    let turn = Turn { messages, turn_id: turn_id.to_owned(), ..Turn::default() };
    let kept = StoredTurn { turn: Some(turn), tokens: 3 };
    store.append_now(&append(fence, turn_id, kept, bounds))
}

fn append(fence: u64, turn_id: &str, kept: StoredTurn, bounds: Bounds) -> Append {
    Append {
        lease: Lease { key: key(), fence },
        turn_id: turn_id.to_owned(),
        kept,
        title: String::new(),
        at: now(),
        bounds,
        origin_bytes: 0,
        turns_bytes: 0,
        owner_bytes: u64::MAX,
    }
}

fn stored(store: &Embedded) -> Vec<String> {
    let all = PageLimit { turns: usize::MAX, bytes: usize::MAX };
    let turns = store.file.read(|tables| tables.turns(&key(), 0, all)).unwrap();
    turns.into_iter().map(|(_, kept)| kept.turn.unwrap().turn_id).collect()
}

/// The bytes of the owner as they are counted, and as they are.
fn counted(store: &Embedded) -> (u64, u64) {
    let bytes = |tables: &ReadTables| {
        let record = tables.record(&key())?.map_or(0, |record| record.bytes());
        Ok((tables.owner_bytes("")?, record))
    };
    store.file.read(bytes).unwrap()
}

#[test]
fn after_a_crash_at_every_write_each_acknowledged_turn_is_there_once() {
    let mut random = fastrand::Rng::with_seed(7);
    // Storing a turn removes an older one in the same transaction, once there are four.
    let bounds = Bounds { messages: 8, ..NO_BOUNDS };
    for operations in 0..160 {
        let disk = Disk::default();
        let store = disk.open();
        create(&store);
        disk.set(|state| state.left = Some(operations));
        let mut acknowledged = Vec::new();
        let unknown = loop {
            let turn_id = acknowledged.len().to_string();
            match turn_within(&store, &turn_id, bounds) {
                Ok(appended) => {
                    assert_eq!(appended, Appended::Stored);
                    acknowledged.push(turn_id);
                }
                Err(StoreError::Unknown(_) | StoreError::Failed(_)) => break turn_id,
            }
        };
        for _ in 0..4 {
            let after = disk.crashed(&mut random).open();
            let mut expected = acknowledged.clone();
            if stored(&after).last() == Some(&unknown) {
                expected.push(unknown.clone());
            }
            assert_eq!(stored(&after), expected[expected.len().saturating_sub(4)..], "after {operations} operations");
            let (counted_bytes, bytes) = counted(&after);
            assert_eq!(counted_bytes, bytes, "after {operations} operations");
            turn_within(&after, "next", bounds).unwrap();
            assert_eq!(stored(&after).last().unwrap(), "next");
        }
    }
}

#[test]
fn a_turn_reads_no_more_history_than_its_bounds() {
    let store = Embedded::in_memory().unwrap();
    create(&store);
    for number in 0..50 {
        turn(&store, &number.to_string()).unwrap();
    }
    for (bounds, turns) in [
        (Bounds { messages: 9, ..NO_BOUNDS }, 4),
        (Bounds { tokens: 7, ..NO_BOUNDS }, 2),
        (Bounds { bytes: 1, ..NO_BOUNDS }, 0),
        (NO_BOUNDS, 50),
    ] {
        let read = store.file.read(|tables| tables.newest_turns(&key(), &bounds)).unwrap();
        let ids: Vec<_> = read.into_iter().map(|kept| kept.turn.unwrap().turn_id).collect();
        assert_eq!(ids, stored(&store)[50 - turns..], "{bounds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_counted_exactly_at_any_concurrency() {
    let store = Embedded::in_memory().unwrap();
    let most = OwnerLimits { conversations: 8, bytes: 400 };
    let named = |id: &str| Key { owner: "ada".to_owned(), id: id.to_owned() };
    let total = || store.file.read(|tables| tables.owner_bytes("ada")).unwrap();
    let new = || Record { origin: Conversation::default(), head: Head { used_at: now(), ..Head::default() } };
    let ids: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let created = futures_util::future::join_all(
        ids.iter().map(async |id| store.create(&named(id), &new(), most).await.unwrap()),
    );
    assert_eq!(created.await.iter().filter(|created| **created == Created::Stored).count(), 8);
    let mut results = Vec::new();
    for round in 0..6 {
        let turns = futures_util::future::join_all(ids.iter().map(async |id| {
            let turn_request =
                TurnRequest { turn_id: round.to_string(), bounds: NO_BOUNDS, bytes: 0, owner_bytes: most.bytes };
            let Taken::Granted(grant) = store.take(&named(id), &turn_request).await.unwrap() else {
                return Appended::Missing;
            };
            let turn = Turn { model_id: "m".repeat(20), turn_id: round.to_string(), ..Turn::default() };
            let kept = StoredTurn { turn: Some(turn), tokens: 0 };
            let lease = grant.lease.clone();
            store
                .append(Append { lease, owner_bytes: most.bytes, ..append(0, &turn_request.turn_id, kept, NO_BOUNDS) })
                .await
                .unwrap()
        }));
        results.extend(turns.await);
        assert!(total() <= most.bytes);
    }
    assert!(results.contains(&Appended::Stored) && results.contains(&Appended::NoRoom));
    let mut sum = 0;
    for id in &ids {
        sum += store.record(&named(id)).await.unwrap().map_or(0, |record| record.bytes());
    }
    assert_eq!(total(), sum);
    // A file that was written before bytes were counted is counted when it is opened.
    let count_again = |tables: &mut tables::Tables<'_>| {
        tables.forget_bytes()?;
        tables.count_bytes()
    };
    store.file.change(count_again).unwrap();
    assert_eq!(total(), sum);
    for id in &ids {
        store.remove(&named(id)).await.unwrap();
    }
    assert_eq!(total(), 0);
    // Expired conversations are counted out too.
    let expired = Record { head: Head { used_at: 1, ..Head::default() }, ..new() };
    let expired = Record { origin: Conversation { title: "t".repeat(90), ..expired.origin }, ..expired };
    store.create(&named("old"), &expired, most).await.unwrap();
    assert_eq!(total(), expired.bytes());
    store.remove_expired().await.unwrap();
    assert_eq!(total(), 0);
}

#[test]
fn a_full_disk_stores_again_without_a_restart_once_there_is_space() {
    let disk = Disk::default();
    let store = disk.open();
    create(&store);
    turn(&store, "before").unwrap();
    for _ in 0..3 {
        disk.set(|state| state.full = true);
        assert!(turn(&store, "lost").is_err());
        disk.set(|state| state.full = false);
    }
    assert_eq!(turn(&store, "after").unwrap(), Appended::Stored);
    assert_eq!(stored(&store), ["before", "after"]);
}

#[test]
fn a_write_does_not_outlive_its_lease() {
    let store = Embedded::in_memory().unwrap();
    create(&store);
    let lease = Lease { key: key(), fence: 1 };
    store.leases.lock().held.insert(key(), ActiveLease { fence: 1, storing: false });
    store.release(lease);
    let append = append(1, "late", StoredTurn::default(), Bounds::default());
    assert_eq!(store.append_now(&append).unwrap(), Appended::Lost);
    assert_eq!(stored(&store), [""; 0]);
}

#[test]
fn a_turn_writes_as_much_into_a_long_conversation_as_into_a_short_one() {
    let disk = Disk::default();
    let store = disk.open();
    create(&store);
    let mut written = Vec::new();
    for block in 0..20 {
        disk.set(|state| state.written = 0);
        for number in 0..100 {
            turn(&store, &format!("{block}-{number}")).unwrap();
        }
        written.push(disk.0.lock().written / 100);
    }
    assert_eq!(stored(&store).len(), 2_000);
    assert!(written[19] < 3 * written[1], "bytes a turn, for each hundred turns: {written:?}");
}
