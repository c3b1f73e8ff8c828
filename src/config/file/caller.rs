//! The blocks `[[caller]]`: who may call, and what it may do.

use std::{collections::BTreeSet, num::NonZeroU32};

use super::{
    quota,
    section::{Placed, Section},
    syntax,
};
use crate::{
    admission::client::ClientLimits,
    identity::{
        key,
        settings::{
            CallerSettings, GuardrailSettings, ImposedSettings, KeySettings, PermissionSettings, TokenSettings,
        },
    },
};

/// The most entries of request metadata: the limit of the Bedrock Runtime API.
const MAX_METADATA: usize = 16;

/// Reads one block.
pub(super) fn read(section: &mut Section<'_>) -> CallerSettings {
    let name = section.required("name").unwrap_or_default().to_owned();
    if !name.is_empty() {
        section.check("name", syntax::name(&name));
    }
    let tenant = section.string("tenant").unwrap_or(&name).to_owned();
    if tenant != name {
        section.check("tenant", syntax::name(&tenant));
    }
    let limits = ClientLimits {
        max_streams: section.number("max_streams").map(|number| number as usize),
        requests_per_minute: section.number("requests_per_minute").and_then(NonZeroU32::new),
        other_requests_per_minute: section.number("other_requests_per_minute").and_then(NonZeroU32::new),
        tokens_per_minute: section.number("tokens_per_minute").and_then(NonZeroU32::new),
    };
    let caller = CallerSettings {
        name,
        tenant,
        keys: section.sections("keys", read_key),
        certificates: checked(section, "certificates", syntax::certificate_uri).unwrap_or_default(),
        tokens: section.sections("jwt", token),
        permissions: permissions(section),
        limits,
        queue_share: quota::queue_share(section),
        budget: section.section("budget", quota::budget).unwrap_or_default(),
        imposed: imposed(section),
        adopts_unowned_conversations: section.boolean("adopts_unowned_conversations").unwrap_or_default(),
    };
    if caller.keys.is_empty() && caller.certificates.is_empty() && caller.tokens.is_empty() {
        let add = "Add at least one of keys, certificates and jwt";
        section.problem_here(format!("has no credentials, so that no call can be of this caller. {add}"));
    }
    if caller.adopts_unowned_conversations && !caller.tokens.is_empty() {
        let why = "a caller with jwt has one owner of conversations for each subject";
        section.problem("adopts_unowned_conversations", format!("is true, but {why}. Let another caller adopt them"));
    }
    caller
}

fn read_key(section: &mut Section<'_>) -> KeySettings {
    let id = section.required("id");
    // The value may be a whole key, which must not be repeated.
    if id.is_some_and(|id| !key::is_id(id)) {
        section.problem("id", "is not the id of a key. Write the line that `outcrop keys new` prints");
    }
    let sha256 = section.required("sha256").and_then(|text| section.checked("sha256", syntax::sha256(text)));
    let expires = section.time("expires");
    let expires_at = expires.and_then(|time| section.checked("expires", syntax::time(&time)));
    let disabled = section.boolean("disabled").unwrap_or_default();
    KeySettings { id: id.unwrap_or_default().to_owned(), sha256: sha256.unwrap_or_default(), expires_at, disabled }
}

fn token(section: &mut Section<'_>) -> TokenSettings {
    let issuer = section.required("issuer");
    if !section.has("claims") {
        let add = "Add claims = { sub = \"...\" }, or claims = {} for every token of the issuer";
        section.problem_here(format!("has no claims. {add}"));
    }
    let claims = section.map("claims").into_iter().map(|(name, value)| (name.value, value)).collect();
    TokenSettings { issuer: issuer.unwrap_or_default().to_owned(), claims }
}

fn permissions(section: &mut Section<'_>) -> PermissionSettings {
    let set = |values: Option<Vec<String>>| values.map(BTreeSet::from_iter);
    PermissionSettings {
        models: checked(section, "models", pattern),
        regions: set(checked(section, "regions", syntax::region)),
        methods: set(section.strings("methods").map(values)),
        native_bodies: section.boolean("native_bodies").unwrap_or_default(),
        s3_prefixes: checked(section, "s3_prefixes", syntax::s3_prefix).unwrap_or_default(),
    }
}

fn imposed(section: &mut Section<'_>) -> ImposedSettings {
    let guardrail = section.section("guardrail", |section| {
        let identifier = section.required("identifier");
        let version = section.required("version");
        if let Some(version) = version {
            section.check("version", syntax::guardrail_version(version));
        }
        Some(GuardrailSettings { identifier: identifier?.to_owned(), version: version?.to_owned() })
    });
    let entries = section.map("request_metadata");
    if entries.len() > MAX_METADATA {
        let count = entries.len();
        section.problem("request_metadata", format!("has {count} entries; Bedrock takes at most {MAX_METADATA}"));
    }
    for (Placed { key, value: name }, value) in &entries {
        let checked = syntax::metadata(name, 1).and_then(|()| syntax::metadata(value, 0));
        section.check_at(key, checked);
    }
    let request_metadata = entries.into_iter().map(|(name, value)| (name.value, value)).collect();
    ImposedSettings { guardrail: guardrail.flatten(), request_metadata }
}

/// A list of strings with those that pass the check; the others are reported.
fn checked(section: &mut Section<'_>, key: &str, check: impl Fn(&str) -> Result<(), String>) -> Option<Vec<String>> {
    let strings = section.strings(key)?;
    for Placed { key, value } in strings.iter().filter(|placed| !placed.value.is_empty()) {
        section.check_at(key, check(value));
    }
    Some(values(strings))
}

fn values(strings: Vec<Placed<String>>) -> Vec<String> {
    strings.into_iter().map(|placed| placed.value).collect()
}

/// The name of a model or a route, or its beginning.
fn pattern(text: &str) -> Result<(), String> {
    match text.find('*') {
        Some(at) if at + 1 < text.len() => {
            Err(format!("is {text:?}; a `*` can only be at the end, such as anthropic.*"))
        }
        _ => Ok(()),
    }
}
