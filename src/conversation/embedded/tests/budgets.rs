//! Tests of what budgets have spent: on a disk that fills up and crashes, and over many days.

use super::*;
use crate::quota::budget::{Amount, Kind, REMEMBERED, SavedAccount, SavedPeriod};

fn account(caller: &str, periods: impl IntoIterator<Item = (Kind, u32, u64)>) -> SavedAccount {
    let saved = |(kind, number, tokens)| SavedPeriod { kind, number, spent: Amount { tokens, micros: 2 * tokens } };
    SavedAccount { caller: caller.into(), periods: periods.into_iter().map(saved).collect() }
}

fn save(store: &Embedded, accounts: &[SavedAccount]) -> Result<(), StoreError> {
    store.file.change(|tables| tables.save_budgets(accounts))
}

fn saved(store: &Embedded) -> Vec<SavedAccount> {
    let mut accounts = store.file.read(ReadTables::budgets).unwrap();
    accounts.sort_by(|one, other| one.caller.cmp(&other.caller));
    accounts
}

#[test]
fn spending_is_the_same_after_a_crash_at_every_write() {
    let mut random = fastrand::Rng::with_seed(3);
    for operations in 0..60 {
        let disk = Disk::default();
        let store = disk.open();
        disk.set(|state| state.left = Some(operations));
        let mut acknowledged = 0;
        while save(&store, &[account("a", [(Kind::Day, 7, acknowledged + 1)])]).is_ok() {
            acknowledged += 1;
        }
        let after = saved(&disk.crashed(&mut random).open());
        let tokens = after.first().map_or(0, |account| account.periods[0].spent.tokens);
        // The last write can be there although it was not confirmed.
        assert!((acknowledged..=acknowledged + 1).contains(&tokens), "{tokens} of {acknowledged} after {operations}");
    }
}

#[test]
fn only_what_has_changed_is_written_and_the_oldest_periods_are_removed() {
    let store = Embedded::in_memory().unwrap();
    let most = u32::try_from(REMEMBERED).unwrap();
    for day in 0..most + 5 {
        save(&store, &[account("a", [(Kind::Day, day, 1)]), account("b", [(Kind::Month, day / 30, day.into())])])
            .unwrap();
    }
    let days: Vec<_> = (5..most + 5).map(|day| (Kind::Day, day, 1)).collect();
    let last = u64::from(most + 4);
    assert_eq!(saved(&store), [account("a", days), account("b", [(Kind::Month, 0, 29), (Kind::Month, 1, last)])]);
}

#[tokio::test]
async fn a_full_disk_loses_no_spending_once_there_is_space() {
    let disk = Disk::default();
    let store = disk.open();
    let budgets = Budgets::default();
    let client = crate::quota::budget::tests::tokens_a_day(1_000);
    let hold = || budgets.reserve(&client, crate::quota::budget::tests::Prices::of(&["cheap"]).costs(0, 100)).unwrap();
    drop(hold());
    disk.set(|state| state.full = true);
    assert!(store.save_budgets(&budgets).await.is_err());
    assert!(budgets.has_changed());
    drop(hold());
    disk.set(|state| state.full = false);
    store.save_budgets(&budgets).await.unwrap();
    assert!(!budgets.has_changed());
    let periods = &saved(&store)[0].periods;
    assert_eq!(periods.iter().map(|period| period.spent.tokens).collect::<Vec<_>>(), [200, 200]);
    let after = Budgets::default();
    after.restore(store.budgets().await.unwrap());
    assert_eq!(after.list("billing", &client.budget)[0].usage.unwrap().used, 200);
}
