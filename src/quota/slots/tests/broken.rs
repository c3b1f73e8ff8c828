//! Tables with one rule broken: both the simulation and the checker of linearizability must find each of them.

use super::{
    super::{
        specification::Rules,
        table::{LEASE, millis},
    },
    simulation::{Faults, simulate},
};

/// The most seeds until both have found it.
const SEEDS: u64 = 60;

fn both_find(rules: Rules) {
    let (mut violated, mut unordered) = (0, 0);
    let mut seeds = 0;
    for seed in 0..SEEDS {
        let random = fastrand::Rng::with_seed(seed);
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let found = runtime.block_on(Box::pin(simulate(random, Faults { rules, emptied: false })));
        violated += u32::from(!found.violations.is_empty());
        unordered += u32::from(!found.linearizable);
        seeds += 1;
        if violated > 0 && unordered > 0 {
            return;
        }
    }
    panic!("{rules:?}: of {seeds} seeds, {violated} violate the bound and {unordered} are not linearizable");
}

#[test]
fn a_table_that_processes_late_duplicates_is_found() {
    both_find(Rules { in_order: false, ..Rules::default() });
}

#[test]
fn a_table_that_grants_what_is_not_confirmed_is_found() {
    both_find(Rules { confirmed: false, ..Rules::default() });
}

#[test]
fn a_table_that_counts_spending_twice_is_found() {
    both_find(Rules { once: false, ..Rules::default() });
}

#[test]
fn a_table_whose_leases_do_not_expire_is_found() {
    both_find(Rules { lease: 1 << 40, ..Rules::default() });
}

#[test]
fn a_table_whose_leases_expire_too_early_is_found() {
    both_find(Rules { lease: millis(LEASE) / 5, ..Rules::default() });
}
