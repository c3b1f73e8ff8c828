//! The tables `[alias.NAME]`: routes with defaults.

use prost_types::Struct;
use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::{
    section::{Section, kind},
    syntax,
};
use crate::{
    json,
    proto::{GuardrailStreamConfiguration, InferenceConfiguration},
    request::alias::Alias,
};

/// Whole numbers from here on are not exact in `google.protobuf.Struct`.
const INEXACT: i64 = 1 << 53;

/// The longest description, in characters.
const DESCRIPTION: usize = 1_000;

/// One alias.
#[derive(Clone, Debug)]
pub(in crate::config) struct AliasBlock {
    /// Its name.
    pub(in crate::config) name: String,
    /// The key that has the targets.
    pub(in crate::config) key: &'static str,
    /// Its targets as they are written.
    pub(in crate::config) targets: Vec<String>,
    /// What it adds to them.
    pub(in crate::config) alias: Alias,
}

/// Reads all aliases.
pub(super) fn read_all(section: &mut Section<'_>) -> Vec<AliasBlock> {
    let mut aliases = Vec::new();
    for (name, value) in section.entries() {
        section.value(name);
        if !value.is_table() {
            let wanted = "it must be a table, written [alias.NAME]";
            section.problem(name, format!("is {}; {wanted}", kind(value)));
            continue;
        }
        // The flag of the routes separates by some of these, and no request can name a model with the others.
        if name.is_empty() || name.contains(|c: char| matches!(c, '=' | ';' | ',' | '@') || c.is_whitespace()) {
            section.problem(
                name,
                "is not the name of an alias: it must not be empty or have white space or one of = ; , @",
            );
        }
        aliases.extend(section.section(name, |section| read(name, section)));
    }
    aliases
}

fn read(name: &str, section: &mut Section<'_>) -> AliasBlock {
    let (key, targets) = targets(section);
    let alias = Alias {
        description: text(section, "description", DESCRIPTION),
        system: text(section, "system", usize::MAX),
        inference: InferenceConfiguration {
            max_tokens: tokens(section, "max_tokens"),
            temperature: section.decimal("temperature"),
            top_p: section.decimal("top_p"),
            stop_sequences: strings(section, "stop_sequences"),
        },
        additional_fields: additional(section),
        guardrail: section.section("guardrail", guardrail),
        latency: text(section, "latency", usize::MAX),
        service_tier: text(section, "service_tier", usize::MAX),
        max_tokens_limit: tokens(section, "max_tokens_limit"),
    };
    AliasBlock { name: name.to_owned(), key, targets, alias }
}

/// The targets, and the key that has them.
fn targets(section: &mut Section<'_>) -> (&'static str, Vec<String>) {
    match (section.has("model"), section.has("targets")) {
        (true, false) => ("model", section.required("model").map(str::to_owned).into_iter().collect()),
        (false, true) => {
            let targets = strings(section, "targets");
            if targets.is_empty() {
                section.problem("targets", "has no target. Name a model or a route");
            }
            ("targets", targets)
        }
        (has_both, _) => {
            // Both keys are known.
            section.value("model");
            section.value("targets");
            let text = if has_both {
                "has model and targets. Leave one of them out"
            } else {
                "has neither model nor targets. Add model = \"...\", or targets = [...] to be tried in this order"
            };
            section.problem_here(text);
            ("", Vec::new())
        }
    }
}

/// A text that is not blank.
fn text(section: &mut Section<'_>, key: &str, longest: usize) -> String {
    let text = section.string(key).unwrap_or_default();
    if section.has(key) && text.trim().is_empty() {
        section.problem(key, "is blank. Write a text, or leave it out");
        return String::new();
    }
    let length = text.chars().count();
    if length > longest {
        section.problem(key, format!("has {length} characters; at most {longest} are allowed"));
    }
    text.to_owned()
}

fn tokens(section: &mut Section<'_>, key: &str) -> Option<i32> {
    let number = section.number(key)?;
    let fits = i32::try_from(number).map_err(|_| format!("is {number}; it must be at most {}", i32::MAX));
    section.checked(key, fits)
}

fn strings(section: &mut Section<'_>, key: &str) -> Vec<String> {
    section.strings(key).into_iter().flatten().map(|placed| placed.value).collect()
}

fn guardrail(section: &mut Section<'_>) -> GuardrailStreamConfiguration {
    let identifier = section.required("identifier").unwrap_or_default();
    let version = section.required("version");
    if let Some(version) = version {
        section.check("version", syntax::guardrail_version(version));
    }
    GuardrailStreamConfiguration {
        guardrail_identifier: identifier.to_owned(),
        guardrail_version: version.unwrap_or_default().to_owned(),
        ..GuardrailStreamConfiguration::default()
    }
}

fn additional(section: &mut Section<'_>) -> Struct {
    let key = "additional_model_request_fields";
    let Some(table) = section.table(key) else { return Struct::default() };
    json::to_struct(object(section, key, table))
}

fn object(section: &mut Section<'_>, key: &str, table: &DeTable<'_>) -> Map<String, Value> {
    let member = |(name, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        let key = format!("{key}.{}", name.get_ref());
        Some((name.get_ref().to_string(), member(section, &key, value.get_ref())?))
    };
    table.iter().filter_map(member).collect()
}

/// A value as JSON has it.
fn member(section: &mut Section<'_>, key: &str, value: &DeValue<'_>) -> Option<Value> {
    let number = match value {
        DeValue::String(text) => return Some(Value::String(text.to_string())),
        DeValue::Boolean(boolean) => return Some(Value::Bool(*boolean)),
        DeValue::Table(table) => return Some(Value::Object(object(section, key, table))),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            return Some(
                items.filter_map(|(at, item)| member(section, &format!("{key}[{at}]"), item.get_ref())).collect(),
            );
        }
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| number.unsigned_abs() < INEXACT.unsigned_abs())
            .map(Number::from),
        DeValue::Float(number) => number.as_str().parse().ok().and_then(Number::from_f64),
        DeValue::Datetime(_) => None,
    };
    if number.is_none() {
        section.problem(key, format!("is {}, which JSON cannot have exactly. Write a string", kind(value)));
    }
    number.map(Value::Number)
}
