//! ARCHITECTURE.md and the layout in `lib.rs` name what exists.

use std::collections::BTreeSet;

use crate::read;

/// Whatever stands in this text as code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_layout_in_lib_names_every_module_once() {
    let lib = read("src/lib.rs");
    let module = |line: &str| {
        let rest = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?;
        rest.strip_suffix(';').map(str::to_owned)
    };
    let declared: BTreeSet<_> = lib.lines().filter_map(module).collect();
    let head: Vec<_> = lib.lines().take_while(|line| line.starts_with("//!")).collect();
    let named = |name: &String| head.iter().any(|line| code(line).any(|word| word == name));
    let missing: Vec<_> = declared.iter().filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "the head of lib.rs does not tell what these are for: {missing:?}");
    for line in head.iter().filter(|line| line.starts_with("//! | ") && line.contains('`')) {
        let name = code(line).next().unwrap();
        assert!(declared.contains(name), "the head of lib.rs names {name}, which is no module");
    }
}
