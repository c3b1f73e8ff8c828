//! No file of the server imports itself through others.
//!
//! Imports are read from the `use` declarations, and names that a module hands on from its children are followed to the child.

use std::collections::{BTreeMap, BTreeSet};

use crate::{files, read};

/// The files of the server by module path: `response::reader` -> `src/response/reader.rs`.
fn modules() -> BTreeMap<String, String> {
    files(&["src"], "rs")
        .into_iter()
        .filter(|path| path != "src/lib.rs" && path != "src/main.rs")
        .map(|path| {
            let module = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
            (module.replace('/', "::"), path)
        })
        .collect()
}

/// Every path that the `use` declarations of a text name, with groups expanded and `self` and `super` resolved.
fn imported(module: &str, text: &str) -> Vec<String> {
    // What is behind the tests of a file is no part of the house.
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut paths = Vec::new();
    for declaration in text.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        expand("", &declaration.split_whitespace().collect::<String>(), &mut paths);
    }
    let up = |levels: usize| {
        let parts: Vec<_> = module.split("::").collect();
        parts[..parts.len().saturating_sub(levels)].join("::")
    };
    paths
        .into_iter()
        .filter_map(|path| {
            let supers = path.split("::").take_while(|part| *part == "super").count();
            if let Some(rest) = path.strip_prefix("crate::") {
                Some(rest.to_owned())
            } else if supers > 0 {
                let rest = path.split("::").skip(supers).collect::<Vec<_>>().join("::");
                Some([up(supers), rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::"))
            } else {
                path.strip_prefix("self::").map(|rest| format!("{module}::{rest}"))
            }
        })
        .collect()
}

/// `a::{b, c::{d}}` -> `a::b`, `a::c::d`.
fn expand(prefix: &str, group: &str, paths: &mut Vec<String>) {
    let (mut depth, mut start) = (0_usize, 0);
    let mut parts = Vec::new();
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((head, rest)) => {
                let inner = rest.strip_suffix('}').unwrap_or(rest);
                expand(&format!("{prefix}{head}"), inner, paths);
            }
            None => paths.push(format!("{prefix}{part}")),
        }
    }
}

/// What the files hand on from their children: `request` + `Family` -> `request::native::Family`.
fn handed_on(modules: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (module, path) in modules {
        for declaration in read(path).split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            let mut paths = Vec::new();
            expand("", &declaration.split_whitespace().collect::<String>(), &mut paths);
            for from in paths.iter().filter_map(|path| path.strip_prefix("self::")) {
                if let Some(name) = from.rsplit("::").next() {
                    names.insert(format!("{module}::{name}"), format!("{module}::{from}"));
                }
            }
        }
    }
    names
}

/// The file that defines this path: that of the longest module which is a prefix of it.
fn target<'a>(
    modules: &'a BTreeMap<String, String>,
    handed_on: &BTreeMap<String, String>,
    path: &str,
) -> Option<&'a String> {
    let mut path = path.to_owned();
    while let Some(further) = handed_on.get(&path).filter(|further| **further != path) {
        path.clone_from(further);
    }
    let parts: Vec<_> = path.split("::").collect();
    (1..=parts.len()).rev().find_map(|length| modules.get(&parts[..length].join("::")))
}

/// The files that are reached from this one by imports.
fn reached<'a>(imports: &BTreeMap<&'a String, BTreeSet<&'a String>>, from: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = imports[from].iter().copied().collect();
    while let Some(path) = next.pop() {
        if reached.insert(path) {
            next.extend(&imports[path]);
        }
    }
    reached
}

#[test]
fn no_file_imports_itself_through_others() {
    let modules = modules();
    let handed_on = handed_on(&modules);
    let mut imports: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (module, path) in &modules {
        let found = imported(module, &read(path));
        let targets = found.iter().filter_map(|import| target(&modules, &handed_on, import));
        // A module is its root file and its children together: what a child takes from its own root is no import.
        let own_root = |target: &String| {
            let root = target.trim_end_matches(".rs");
            path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        };
        imports.insert(path, targets.filter(|target| !own_root(target)).collect());
    }
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 100, "imports are found at all");
    let circular: BTreeMap<_, _> = imports
        .keys()
        .filter(|path| reached(&imports, path).contains(*path))
        .map(|path| {
            (path, imports[*path].iter().filter(|to| reached(&imports, to).contains(*path)).collect::<Vec<_>>())
        })
        .collect();
    assert!(circular.is_empty(), "each of these imports itself through these: {circular:#?}");
}

/// The modules that put the others together. Nothing below takes anything from them: it is handed what it needs.
const ASSEMBLY: [&str; 5] = ["app", "commands", "config", "front", "service"];

#[test]
fn no_import_climbs_to_what_puts_the_server_together() {
    let root = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let mut climbing = Vec::new();
    // The fuzz targets reach everything through one module.
    let below = |module: &str| root(module) != "fuzzing" && !ASSEMBLY.contains(&root(module).as_str());
    for (module, path) in modules().into_iter().filter(|(module, _)| below(module)) {
        let imports = imported(&module, &read(&path));
        climbing.extend(
            imports
                .into_iter()
                .filter(|import| ASSEMBLY.contains(&root(import).as_str()))
                .map(|import| (path.clone(), import)),
        );
    }
    assert!(climbing.is_empty(), "{climbing:#?}");
}
