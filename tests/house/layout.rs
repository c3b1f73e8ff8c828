//! Each file opens with what it is for.

use crate::{RUST, files, read};

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> = files(&RUST, "rs").into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "these do not begin with //!: {silent:?}");
}

#[test]
fn no_file_tells_what_comes_before_or_after_it() {
    // The order of modules is told once, in lib.rs and ARCHITECTURE.md; copies of it in file headers go stale.
    let ordered = ["//! Comes after", "//! Comes before", "//! Comes first", "//! Used by ["];
    let stale: Vec<_> = files(&RUST, "rs")
        .into_iter()
        .filter(|path| read(path).lines().any(|line| ordered.iter().any(|start| line.starts_with(start))))
        .collect();
    assert!(stale.is_empty(), "{stale:?}");
}
