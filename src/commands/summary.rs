//! What settings come to, in the words of `outcrop check` and of the lines at the start of `outcrop serve`.

use crate::{config::Settings, conversation::settings::ConversationSettings};

/// The most names that are listed.
const NAMES: usize = 6;

/// Where conversations are stored. An address has no password, which is refused in one.
pub(super) fn storage(settings: &Settings) -> String {
    match &settings.conversations {
        ConversationSettings::Off => "off".to_owned(),
        ConversationSettings::Memory => "in memory".to_owned(),
        ConversationSettings::File(path) => path.display().to_string(),
        ConversationSettings::Redis(redis) => redis.address.clone(),
    }
}

/// Who is served.
pub(super) fn callers(settings: &Settings) -> String {
    match settings.identity.callers.len() {
        0 => "none: every client is served".to_owned(),
        count => format!("{count}, with {} issuers of tokens", settings.identity.issuers.len()),
    }
}

/// The models that the configuration names.
pub(super) fn models(settings: &Settings) -> String {
    let rules = &settings.rules;
    let default = rules.default_model.as_deref().unwrap_or("none");
    let is_alias = |name: &&str| rules.aliases.contains_key(*name);
    let (aliases, routes): (Vec<_>, Vec<_>) = rules.routes.names().partition(is_alias);
    format!("default {default}; routes {}; aliases {}", listed(&routes), listed(&aliases))
}

/// The limits of all clients.
pub(super) fn limits(settings: &Settings) -> String {
    let limits = &settings.limits;
    let number = |number: Option<usize>| number.map_or_else(|| "no limit".to_owned(), |number| number.to_string());
    let rate = |rate: Option<std::num::NonZeroU32>| number(rate.map(|rate| rate.get() as usize));
    format!(
        "streams {}, a caller {}, a model {}; a minute of a caller: requests {}, tokens {}",
        limits.streams,
        number(limits.streams_per_caller),
        number(limits.streams_per_model),
        rate(limits.requests_per_minute),
        rate(limits.tokens_per_minute)
    )
}

/// Some of the names, and how many more there are.
fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        count if count <= NAMES => names.join(", "),
        count => format!("{} and {} more", names[..NAMES].join(", "), count - NAMES),
    }
}
