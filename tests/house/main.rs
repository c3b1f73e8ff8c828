//! The rules of the house that a compiler does not check: where files are, how long they are, and what imports what.
//!
//! - `documents` ARCHITECTURE.md and `lib.rs` name files and modules that exist
//! - `imports` no file imports itself through others
//! - `layout` every file is short and says what it is for
//! - `semantics` every promise to callers links to its test
//! - `servers` servers that tests start leave no files
//! - `words` names, comments, documents and messages use the terms of the field
//! - `workflows` CI pins what it runs

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test reports what is wrong by panicking")]

mod documents;
mod imports;
mod layout;
mod semantics;
mod servers;
mod words;
mod workflows;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository as text.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file under these folders that ends so, relative to the root, sorted.
fn files(folders: &[&str], extension: &str) -> Vec<String> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let skipped = ["target", "node_modules", "dist", "corpus", "artifacts"];
            if path.is_dir() && !name.starts_with('.') && !skipped.contains(&name.as_str()) {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders.iter().map(|folder| root().join(folder)).filter(|folder| folder.exists()) {
        walk(&folder, extension, &mut found);
    }
    let mut relative: Vec<_> =
        found.iter().map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()).collect();
    relative.sort();
    assert!(!relative.is_empty(), "{folders:?} hold no .{extension} file");
    relative
}

/// Every folder that holds Rust of this repository.
const RUST: [&str; 11] =
    ["src", "client", "contract", "emulator", "secret-file", "tests", "bench", "benches", "examples", "fuzz", "web"];
