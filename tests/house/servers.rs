//! Servers of others that tests start leave nothing behind.

use crate::{RUST, files, read};

#[test]
fn every_redis_that_a_test_starts_has_a_folder_of_its_own_and_saves_nothing_in_it() {
    // Written in two parts, so that this file does not start one itself.
    let start = ["Command::new(\"redis", "-server\")"].concat();
    let starting: Vec<_> = files(&RUST, "rs").into_iter().filter(|path| read(path).contains(&start)).collect();
    assert!(!starting.is_empty());
    let careless: Vec<_> = starting
        .into_iter()
        .filter(|path| {
            let text = read(path);
            text.matches(&start).count() > text.matches("\"--dir\"").count()
                || text.matches(&start).count() > text.matches("\"--save\", \"\"").count()
        })
        .collect();
    assert!(careless.is_empty(), "these start a Redis without --dir and --save \"\": {careless:?}");
}
