//! Names, comments, documents and messages use the terms of the field.
//!
//! The list has expressions that made readers stop: words that are terms of nothing, programs that behave like people, and sentences
//! that have to be solved. Each has what to write instead.

use std::{fmt::Write as _, path::Path};

use crate::{RUST, files, read};

/// An expression that is not used, in lower case, and what to write instead.
struct Expression(&'static str, &'static str);

/// Words and phrases. They match whole words, in any case.
const EXPRESSIONS: &[Expression] = &[
    // Terms of nothing.
    Expression("the books", "usage accounting, counts"),
    Expression("farewell", "the graceful shutdown, a forced close timeout"),
    Expression("farewells", "the graceful shutdown, a forced close timeout"),
    Expression("patience", "a timeout"),
    Expression("hopeless", "not retryable"),
    Expression("newcomer", "a new call, a new connection"),
    Expression("newcomers", "new calls, new connections"),
    Expression("sign of life", "a heartbeat, a ping"),
    Expression("to be had", "available"),
    Expression("at work", "running"),
    Expression("hurry", "the second signal, a forced shutdown"),
    Expression("front door", "the gateway"),
    Expression("open door", "a free permit"),
    // Programs are no people.
    Expression("whoever", "a caller that, a client that"),
    Expression("nobody", "no caller, no client, no task"),
    Expression("somebody", "a caller, a client, a task"),
    Expression("everybody", "all callers, all clients"),
    Expression("anybody", "a caller, a client"),
    Expression("who does not read", "a caller that does not read"),
    Expression("who do not read", "callers that do not read"),
    Expression("whose time is over", "a call whose time limit has passed"),
    Expression("is alive", "is connected, is running"),
    Expression("and gives everything back", "releases its permits"),
    Expression("held for it", "it holds no permits"),
    Expression("falls silent", "sends nothing"),
    Expression("fell silent", "sent nothing"),
    // Riddles, and clauses in odd order.
    Expression("what is no", "say what it is not, or what it is"),
    Expression("what nobody", "say what it is"),
    Expression("is left to bedrock", "Bedrock checks it"),
    Expression("left to bedrock", "Bedrock checks it"),
    Expression("what comes of", "the result of"),
    Expression("comes to nothing", "has no effect"),
    Expression("goes by", "is called"),
    Expression("and nothing of the secret", "without the secret"),
    Expression("keeps the books", "counts"),
    Expression("for ever", "without a limit, forever"),
    Expression("is no json", "is not JSON"),
    Expression("is no gzip", "is not gzip"),
    Expression("is no folder", "is not a folder"),
    Expression("is no model", "is not a model"),
    Expression("no longer wait", "the grace period is over"),
    Expression("not its time", "its timeout has not passed"),
    Expression("has said so", "has reported it"),
    Expression("lets go", "closes, releases"),
    Expression("what is left", "the remaining ..."),
    Expression("read on to its end", "drained"),
    Expression("told apart", "distinguished"),
    Expression("the way of a call", "the path of a call"),
    Expression("as it came", "unchanged"),
    Expression("by chance", "with jitter"),
    Expression("the same by the same way", "say what happens"),
];

/// Parts of identifiers, matched with their case.
const IDENTIFIERS: &[Expression] = &[
    Expression("closed_until", "State::Open { until }"),
    Expression("LEAST_WAIT", "MIN_BACKOFF"),
    Expression("FAREWELL", "FORCED_CLOSE_TIMEOUT"),
    Expression("PATIENCE", "TIMEOUT"),
    Expression("try_along", "run_attempts"),
    Expression("hopeless", "not_retryable"),
    Expression("Door", "Gate, CircuitBreaker"),
    Expression("StreamPlace", "StreamPermit"),
    Expression("Journal", "AttemptLog"),
    Expression("fn enter_place", "acquire"),
    Expression("fn places(", "stream_permits"),
    Expression("struct Kept", "StoredTurn"),
    Expression("struct Made", "State"),
    Expression("struct Held ", "CallResources, ActiveLease, LeaseState"),
    Expression("enum Left", "AbandonedCall"),
    Expression("struct Asked", "Call"),
    Expression("struct Ask ", "TurnRequest"),
    Expression("wish: ", "mode"),
    Expression("hurry", "force_signal"),
];

/// The texts that are searched, with their paths. This file has the expressions and is not searched.
fn texts() -> Vec<(String, String)> {
    let mut paths = files(&RUST, "rs");
    paths.extend(files(&["."], "md"));
    paths.extend(files(&["proto"], "proto"));
    paths.extend(files(&["web/src"], "ts"));
    paths.retain(|path| path != "tests/house/words.rs" && !path.contains("/generated/"));
    paths.into_iter().map(|path| (path.clone(), read(path))).collect()
}

/// The words of a text in lower case, separated by single spaces. Comment marks between the lines of a sentence are left out.
fn words(line: &str) -> String {
    let plain: String =
        line.to_lowercase().chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect();
    format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn texts_use_the_terms_of_the_field() {
    let mut found = String::new();
    for (path, text) in texts() {
        let lines: Vec<_> = text.lines().map(words).collect();
        for (at, line) in lines.iter().enumerate() {
            // A phrase can continue on the next line.
            let joined = format!("{line}{}", lines.get(at + 1).map(|next| next.trim_start()).unwrap_or_default());
            for Expression(phrase, instead) in EXPRESSIONS {
                let wanted = format!(" {phrase} ");
                let begins_here = joined.find(&wanted).is_some_and(|start| start < line.len() - 1);
                if begins_here {
                    let _ = writeln!(found, "{path}:{}: {phrase:?}; write {instead}", at + 1);
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn identifiers_are_the_terms_of_the_field() {
    let mut found = String::new();
    for (path, text) in
        texts().into_iter().filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "rs"))
    {
        for (at, line) in text.lines().enumerate() {
            for Expression(name, instead) in IDENTIFIERS {
                if line.contains(name) {
                    let _ = writeln!(found, "{path}:{}: {name}; write {instead}", at + 1);
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn phrases_are_found_across_lines_and_not_within_words() {
    assert_eq!(words("//! The BOOKS: kept."), " the books kept ");
    assert!(!words("somebodyelse").contains(" somebody "));
}
