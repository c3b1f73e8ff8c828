//! docs/semantics.md and docs/quotas.md: every sentence about what a caller may rely on links to a test that exists and runs.

use std::{collections::BTreeMap, path::Path};

use crate::{files, read};

/// A sentence, and the tests that hold it: name and file.
struct Promise {
    sentence: String,
    tests: Vec<(String, String)>,
}

/// The items of the page. A line that is neither an item, its continuation nor a heading is returned as stray, except for the introduction.
fn page(text: &str) -> (Vec<Promise>, Vec<String>) {
    let (mut promises, mut stray): (Vec<Promise>, Vec<String>) = (Vec::new(), Vec::new());
    let body = text.find("\n## ").map_or("", |at| &text[at..]);
    for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let link = line.strip_prefix("  [`").and_then(|rest| rest.split_once("`](../")).map(|(name, path)| {
            let path = path.strip_suffix(')').unwrap_or_else(|| panic!("one link a line: {line}"));
            (name.to_owned(), path.to_owned())
        });
        match (line.strip_prefix("- "), line.strip_prefix("  "), link, promises.last_mut()) {
            (Some(begin), ..) => promises.push(Promise { sentence: begin.to_owned(), tests: Vec::new() }),
            (_, Some(_), Some(link), Some(promise)) => promise.tests.push(link),
            (_, Some(more), None, Some(promise)) if promise.tests.is_empty() => {
                promise.sentence = format!("{} {more}", promise.sentence);
            }
            _ => stray.push(line.to_owned()),
        }
    }
    (promises, stray)
}

/// Whether this file has a test of this name that is not ignored.
fn has_test(text: &str, path: &str, name: &str) -> bool {
    if Path::new(path).extension().is_some_and(|extension| extension == "py") {
        return name.starts_with("test_") && text.lines().any(|line| line.starts_with(&format!("def {name}(")));
    }
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_function = |line: &str| line.trim_start_matches("async ").starts_with(&format!("fn {name}("));
    lines.iter().position(|line| is_function(line)).is_some_and(|at| {
        let attributes: Vec<_> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).collect();
        let has = |attribute: &str| attributes.iter().any(|line| line.starts_with(attribute));
        (has("#[test]") || has("#[tokio::test")) && !has("#[ignore")
    })
}

#[test]
fn every_sentence_about_what_a_caller_may_rely_on_links_to_a_test() {
    let (promises, stray) = page(&read("docs/semantics.md"));
    assert!(stray.is_empty(), "these lines are neither a sentence nor its tests: {stray:#?}");
    assert!(promises.len() >= 80, "{} sentences", promises.len());
    for Promise { sentence, tests } in &promises {
        assert!(!tests.is_empty(), "no test holds: {sentence}");
        assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "one sentence an item: {sentence}");
    }
}

#[test]
fn every_test_that_a_sentence_links_to_exists() {
    let (promises, _) = page(&read("docs/semantics.md"));
    let known: Vec<_> = [files(&["."], "rs"), files(&["tests"], "py")].concat();
    let mut texts = BTreeMap::new();
    for Promise { sentence, tests } in promises {
        for (name, path) in tests {
            assert!(known.contains(&path), "{path} does not exist: {sentence}");
            let text = texts.entry(path.clone()).or_insert_with(|| read(&path));
            assert!(has_test(text, &path, &name), "{path} has no test {name}: {sentence}");
        }
    }
}

#[test]
fn every_test_that_the_document_of_quotas_links_to_exists() {
    let document = read("docs/quotas.md");
    let links: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("  [`")?.split_once("`](../")).collect();
    assert!(links.len() >= 14, "{links:?}");
    for (name, path) in links {
        let path = path.trim_end_matches(')');
        assert!(has_test(&read(path), path, name), "{path} has no test {name}");
    }
}

#[test]
fn a_function_that_is_not_a_test_or_is_ignored_holds_nothing() {
    let text = "#[test]\nfn runs() {}\n#[tokio::test(flavor = \"x\")]\nasync fn waits() {}\n#[test]\n#[ignore]\nfn sleeps() {}\nfn helps() {}";
    assert!(has_test(text, "a.rs", "runs") && has_test(text, "a.rs", "waits"));
    assert!(!has_test(text, "a.rs", "sleeps") && !has_test(text, "a.rs", "helps") && !has_test(text, "a.rs", "none"));
}
