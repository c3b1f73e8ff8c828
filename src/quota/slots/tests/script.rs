//! The script in a real Redis answers what the sequential specification says.

use std::{collections::BTreeMap, time::Duration};

use redis::cmd;

use super::{
    super::{
        in_redis::{InRedis, key},
        specification::{Ledger, Row, Rules},
        table::{LARGEST, Request, ServerId, Table},
    },
    request,
};
use crate::redis::{connection::Connection, server::Server};

/// Reads the clock of a test.
const CLOCK: &str = "(function()
    local millis = redis.call('GET', 'outcrop:{quota}:clock')
    return {math.floor(millis / 1000), millis % 1000 * 1000}
end)()";

async fn set_clock(connection: &Connection, now: u64) {
    connection.query::<()>(cmd("SET").arg("outcrop:{quota}:clock").arg(now)).await.unwrap();
}

/// The fields of the hash in Redis.
async fn stored(connection: &Connection) -> BTreeMap<String, String> {
    connection.query(cmd("HGETALL").arg(key("tokens"))).await.unwrap()
}

/// The fields that it must have.
fn fields(ledger: &Ledger) -> BTreeMap<String, String> {
    let of_table = [("born", ledger.born), ("since", ledger.since), ("spent", ledger.spent)];
    let of_table = of_table.map(|(name, value)| (name.to_owned(), value.to_string()));
    let of_servers = ledger.rows.iter().map(|(id, row)| {
        let Row { sequence, held, expires, wanted, spent } = row;
        (format!("s{id}"), format!("{sequence} {held} {expires} {wanted} {spent}"))
    });
    of_table.into_iter().chain(of_servers).collect()
}

/// A number up to this one, sometimes with many digits.
fn number(random: &mut fastrand::Rng, capacity: u64) -> u64 {
    match random.u8(..8) {
        0 => 0,
        1 => capacity,
        2 => random.u64(..=LARGEST),
        _ => random.u64(..=capacity),
    }
}

fn any_request(random: &mut fastrand::Rng, capacity: u64, known: &Ledger) -> Request {
    Request {
        sequence: random.u64(1..400),
        capacity: if random.u8(..10) == 0 { random.u64(..=capacity) } else { capacity },
        held: number(random, capacity),
        in_use: number(random, capacity / 2),
        wanted: number(random, 2 * capacity),
        spent: if random.u8(..8) > 0 { 0 } else { number(random, capacity / 8) },
        confirmed: number(random, capacity / 4),
        born: if random.bool() { known.born } else { 7 },
        lasts: random.bool().then_some(Duration::from_hours(1)),
        leaving: random.u8(..20) == 0,
        ..request(0, capacity)
    }
}

#[tokio::test]
async fn the_script_is_the_specification() {
    let Some(server) = Server::start() else { return };
    let connection = server.connection();
    let table = InRedis::with_clock(connection.clone(), CLOCK);
    let seeds = std::env::var("OUTCROP_TEST_SEEDS").map_or(8, |seeds| seeds.parse::<u64>().unwrap().min(500));
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let capacity = [1, 5, 100, 1_000_000, LARGEST][random.usize(..5)];
        let ids: Vec<_> = (0..random.usize(1..6)).map(|_| ServerId(random.u64(..1 << ServerId::BITS))).collect();
        let (mut ledger, mut now) = (Ledger::default(), 1_700_000_000_000);
        connection.query::<()>(cmd("DEL").arg(key("tokens"))).await.unwrap();
        for step in 0..300 {
            // Mostly within a lease, so that servers compete.
            now += match random.u8(..100) {
                0 => random.u64(..700_000),
                1..6 => random.u64(..12_000),
                _ => random.u64(..600),
            };
            if random.u8(..60) == 0 {
                now -= random.u64(..60_000);
            }
            set_clock(&connection, now).await;
            let id = ids[random.usize(..ids.len())];
            // Mostly in order, so that most are processed.
            let sequence = ledger.rows.get(&id).map_or(1, |row| row.sequence + random.u64(..5));
            let mut request = Request { sequence, ..any_request(&mut random, capacity, &ledger) };
            if ledger.spent > capacity {
                request.spent = 0;
            }
            let expected = ledger.renew(now, id, &request, Rules::default());
            let answer = table.renew(id, std::slice::from_ref(&request)).await.unwrap();
            assert_eq!(answer, [Some(expected)], "seed {seed}, step {step}: {request:?}, {ledger:?}");
            assert_eq!(stored(&connection).await, fields(&ledger), "seed {seed}, step {step}: {request:?}");
        }
    }
}
