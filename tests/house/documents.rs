//! ARCHITECTURE.md and `lib.rs` match the folders, and no document names a file that does not exist.

use std::collections::BTreeSet;

use crate::{files, read, root};

/// Everything in this text that is marked as code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The modules of the server: `response::reader` for `src/response/reader.rs`.
fn modules() -> BTreeSet<String> {
    let paths = files(&["src"], "rs").into_iter();
    paths.map(|path| path.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::")).collect()
}

/// Whether this looks like a path of the repository: `src/app.rs` or `src/bedrock/invoke/`, and neither `a/b` nor `/metrics`.
fn is_path(text: &str) -> bool {
    let folders = [
        "src/",
        "client/",
        "contract/",
        "emulator/",
        "secret-file/",
        "web/",
        "tests/",
        "proto/",
        "docs/",
        "bench/",
        "benches/",
    ];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    text.chars().all(is_plain) && folders.iter().any(|folder| text.starts_with(folder))
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

#[test]
fn every_question_of_the_architecture_leads_to_a_file() {
    let document = read("ARCHITECTURE.md");
    let rows: Vec<_> = document.lines().filter(|line| line.starts_with("| ") && line.contains("? |")).collect();
    assert!(rows.len() >= 25, "the table of questions has {} rows", rows.len());
    for row in rows {
        let answer = row.split(" | ").nth(1).unwrap();
        let paths: Vec<_> = code(answer).collect();
        assert!(!paths.is_empty(), "no file answers: {row}");
        for path in paths {
            assert!(root().join(path).exists(), "{path} does not exist: {row}");
        }
    }
}

#[test]
fn the_picture_of_the_architecture_names_modules() {
    let document = read("ARCHITECTURE.md");
    let picture = document.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let named: BTreeSet<_> = picture
        .lines()
        .flat_map(|line| line.split("[\"").skip(1))
        .filter_map(|label| label.split(['"', '<']).next())
        .collect();
    let modules = modules();
    let unknown: Vec<_> = named.iter().filter(|name| !modules.contains(**name)).collect();
    assert!(unknown.is_empty(), "the picture names {unknown:?}, which are no modules");
    let path = ["edge", "service", "request", "admission", "failover", "bedrock", "event", "response", "conversation"];
    let missing: Vec<_> =
        path.iter().filter(|room| !named.iter().any(|name| name.split("::").next() == Some(room))).collect();
    assert!(missing.is_empty(), "the picture lacks {missing:?}");
}

#[test]
fn every_module_that_a_document_names_exists() {
    let modules = modules();
    for path in files(&["."], "md") {
        let text = read(&path);
        let named = code(&text).filter(|name| {
            let room = name.split("::").next().unwrap_or_default();
            name.contains("::") && modules.contains(room)
        });
        for name in named {
            // `bedrock::Connected` is a type of the module.
            let module = name.rsplit_once("::").filter(|(_, last)| last.starts_with(char::is_uppercase));
            let module = module.map_or(name, |(module, _)| module);
            assert!(modules.contains(module), "{path} names {name}, which does not exist");
        }
    }
}

#[test]
fn every_file_that_a_document_names_exists() {
    for path in files(&["."], "md") {
        let text = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        for named in code(&text).filter(|text| is_path(text)) {
            assert!(root().join(named).exists(), "{path} names {named}, which does not exist");
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{path} links to {target}, which does not exist");
        }
    }
}

#[test]
fn every_known_failure_of_a_conformance_suite_is_documented() {
    let document = read("docs/conformance.md");
    let lists = files(&["tests/conformance/known"], "txt");
    assert_eq!(lists.len(), 5, "{lists:?}");
    for path in lists {
        for case in read(&path).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // The document has the transport in words, and the cases of both protocols as one.
            let case = case.trim_start_matches("plaintext | ").replace("gRPC-Web Unexpected", "gRPC Unexpected");
            assert!(document.contains(&format!("- `{case}`")), "docs/conformance.md lacks {case} of {path}");
        }
    }
}

#[test]
fn every_heading_that_a_document_links_to_exists() {
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_';
        heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    for path in files(&["."], "md") {
        let text = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((target, fragment)) = link.split_once('#').filter(|(target, _)| !target.contains("://")) else {
                continue;
            };
            let document = if target.is_empty() { text.clone() } else { read(folder.join(target)) };
            let found = document.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == fragment);
            assert!(found, "{path} links to {link}, which has no such heading");
        }
    }
}
