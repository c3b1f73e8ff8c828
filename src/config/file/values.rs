//! The top-level keys of the file. Each is named after a flag, with `_` for `-`; the table `[routes]` has the routes.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::section::{Section, kind};

/// A setting that the file can have, as the command line describes it.
#[derive(Clone, Debug)]
pub(in crate::config) struct Known {
    /// The key.
    pub(in crate::config) key: String,
    /// Whether it is either true or false.
    pub(in crate::config) is_boolean: bool,
    /// Whether it can have several values.
    pub(in crate::config) is_list: bool,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Value {
    /// The path of the key in the file.
    pub(in crate::config) key: String,
    /// As texts, because the flags take texts. A setting that is no list has one.
    pub(in crate::config) texts: Vec<String>,
}

/// What is said about a setting that was written below a table, of which it is a key then.
pub(super) const MISPLACED: &str = "is a setting of the server. Write it above the first [table] of the file";

/// The table of the routes.
const ROUTES: &str = "routes";

/// The flag whose values are in that table.
const ROUTE: &str = "route";

/// Reads the settings that are known.
pub(super) fn read(root: &mut Section<'_>, known: &[Known]) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for Known { key, is_boolean, is_list } in known.iter().filter(|known| known.key != ROUTE) {
        let Some(value) = root.value(key) else { continue };
        let texts = match value {
            DeValue::Array(items) if *is_list => {
                let items = items.iter().enumerate();
                items.filter_map(|(at, item)| text(root, &format!("{key}[{at}]"), item.get_ref(), false)).collect()
            }
            value => text(root, key, value, *is_boolean).into_iter().collect::<Vec<_>>(),
        };
        if !texts.is_empty() {
            values.insert(key.clone(), Value { key: key.clone(), texts });
        }
    }
    let routes = routes(root, known);
    if !routes.is_empty() {
        values.insert(ROUTE.to_owned(), Value { key: ROUTES.to_owned(), texts: routes });
    }
    values
}

/// A single value as the flag takes it.
fn text(root: &mut Section<'_>, key: &str, value: &DeValue<'_>, is_boolean: bool) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(boolean) if is_boolean => Some(boolean.to_string()),
        DeValue::Integer(number) => {
            // `0xff` is written as 255. A number that is too large for this is too large for every flag.
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            Some(parsed.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        DeValue::Float(number) => Some(number.to_string()),
        other => {
            let wanted = if is_boolean { "true or false" } else { "a string or a number" };
            root.problem(key, format!("is {}; it must be {wanted}", kind(other)));
            None
        }
    }
}

/// The routes in the form of the flag: `NAME=TARGET,TARGET`.
fn routes(root: &mut Section<'_>, known: &[Known]) -> Vec<String> {
    let mut routes = Vec::new();
    let read = root.section(ROUTES, |section| {
        for (name, value) in section.entries() {
            section.value(name);
            if known.iter().any(|known| known.key == name) && !is_targets(value) {
                section.problem(name, MISPLACED);
                continue;
            }
            let targets = match value {
                DeValue::String(target) => vec![target.to_string()],
                DeValue::Array(targets) if targets.iter().all(|target| target.get_ref().is_str()) => {
                    targets.iter().filter_map(|target| target.get_ref().as_str()).map(str::to_owned).collect()
                }
                other => {
                    let wanted = "a list of targets, such as [\"us.a.b@us-east-1\", \"a.b@eu-west-1\"]";
                    section.problem(name, format!("is {}; it must be {wanted}", kind(other)));
                    continue;
                }
            };
            // The flag separates by these.
            if name.contains(['=', ';', ',']) || name.trim().is_empty() {
                section.problem(name, "is not the name of a route: it must not be empty or have one of = ; ,");
            } else if targets.iter().any(|target| target.contains([',', ';'])) {
                section
                    .problem(name, "has a target with a comma or semicolon. Write every target as a string of its own");
            } else {
                routes.push(format!("{name}={}", targets.join(",")));
            }
        }
    });
    read.map(|()| routes).unwrap_or_default()
}

/// Whether a value names targets, rather than being that of a setting that was written below `[routes]`.
fn is_targets(value: &DeValue<'_>) -> bool {
    value.is_array() || value.as_str().is_some_and(|text| text.contains(['.', '@']))
}
