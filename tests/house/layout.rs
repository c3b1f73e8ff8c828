//! Each file is short, and opens with what it is for.

use crate::{RUST, files, read};

/// The most lines of a file.
const MOST_LINES: usize = 320;

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

#[test]
fn no_file_has_more_than_320_lines() {
    let mut paths = files(&RUST, "rs");
    paths.extend(files(&["web/src"], "ts"));
    paths.extend(files(&["tests/web"], "mjs"));
    let long: Vec<_> = paths
        .into_iter()
        .filter(|path| !path.contains("/generated/"))
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "split these into files with one concern each: {long:?}");
}
