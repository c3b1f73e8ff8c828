//! The blocks `[[quota]]` and the tables `[price."MODEL"]`: what Bedrock allows, and what tokens cost.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use toml::de::DeValue;

use super::{
    amount::{Zero, millionths, whole},
    section::{Section, kind},
    syntax,
};
use crate::quota::settings::{Budget, MAX_BURNDOWN, MAX_QUOTA, ModelQuota, Price, QueueShare};

/// The highest budget in tokens. Redis counts with floating point, which is exact up to nine times this number.
const MAX_TOKENS: u64 = 1_000_000_000_000_000;

/// The highest budget in money, and the highest price of a million tokens: their millionths are bounded in the same way.
const MAX_COST: u64 = 1_000_000_000;

/// The highest weight of a caller.
const MAX_WEIGHT: u64 = 1_000;

/// The limits of a quota, of which it has at least one.
const LIMITS: [&str; 3] = ["tokens_per_minute", "requests_per_minute", "streams"];

/// The limits of a budget, of which it has at least one.
const BUDGETS: [&str; 4] = ["tokens_per_day", "tokens_per_month", "cost_per_day", "cost_per_month"];

/// Reads one quota.
pub(super) fn read(section: &mut Section<'_>) -> ModelQuota {
    let model_id = section.required("model").unwrap_or_default();
    let region = section.string("region").filter(|region| !region.is_empty());
    if let Some(region) = region {
        section.check("region", syntax::region(region));
    }
    let mut quota = ModelQuota {
        region: region.map(str::to_owned),
        tokens_per_minute: whole(section, "tokens_per_minute", 1..=MAX_QUOTA).and_then(NonZeroU64::new),
        requests_per_minute: whole(section, "requests_per_minute", 1..=MAX_QUOTA).and_then(NonZeroU64::new),
        tokens_per_minute_code: code(section, "tokens_per_minute"),
        requests_per_minute_code: code(section, "requests_per_minute"),
        streams: number(section, "streams", u32::MAX).and_then(NonZeroU32::new),
        ..ModelQuota::of(model_id)
    };
    for (key, most, value) in [
        ("output_burndown", MAX_BURNDOWN, &mut quota.output_burndown),
        ("max_tokens", u32::MAX, &mut quota.max_tokens),
        ("burst_percent", 100, &mut quota.burst_percent),
    ] {
        *value = number(section, key, most).unwrap_or(*value);
    }
    at_least_one(section, &LIMITS);
    quota
}

/// Reads the code of a limit in AWS Service Quotas. The number of the limit must be there too, because it holds until the code can be read.
fn code(section: &mut Section<'_>, limit: &str) -> Option<String> {
    let key = format!("{limit}_code");
    let code = section.string(&key).filter(|code| !code.is_empty())?;
    if !section.has(limit) {
        let text = format!("is {code:?}, and {limit} is missing. Add it: it holds while the code cannot be read");
        section.problem(&key, text);
    }
    section.checked(&key, syntax::quota_code(code))?;
    Some(code.to_owned())
}

/// Reads all prices.
pub(super) fn read_prices(section: &mut Section<'_>) -> BTreeMap<String, Price> {
    let mut prices = BTreeMap::new();
    for (model, value) in section.entries() {
        section.value(model);
        if !value.is_table() {
            let wanted = "it must be a table, written [price.\"MODEL\"], with the model id in quotes";
            section.problem(model, format!("is {}; {wanted}", kind(value)));
            continue;
        }
        if let Some(inner) = inner_table(value) {
            let text =
                format!("is a table with the table {inner}. Write a model id in quotes: [price.\"{model}.{inner}\"]");
            section.problem(model, text);
            continue;
        }
        prices.extend(section.section(model, price).map(|price| (model.to_owned(), price)));
    }
    prices
}

/// The path of the innermost table in a value, if it has one: `[price.a.b]` is a table `b` in a table `a`.
fn inner_table(value: &DeValue<'_>) -> Option<String> {
    let (key, value) = value.as_table()?.iter().find(|(_, value)| value.get_ref().is_table())?;
    let (key, value) = (key.get_ref(), value.get_ref());
    Some(inner_table(value).map_or_else(|| key.to_string(), |inner| format!("{key}.{inner}")))
}

fn price(section: &mut Section<'_>) -> Price {
    for key in ["input", "output"].into_iter().filter(|key| !section.has(key)).collect::<Vec<_>>() {
        section.problem_here(format!("has no {key}. Add {key} = the price of a million tokens"));
    }
    let mut amount = |key| millionths(section, key, MAX_COST, Zero::Allowed);
    let input = amount("input").unwrap_or_default();
    Price {
        input,
        output: amount("output").unwrap_or_default(),
        cache_read: amount("cache_read").unwrap_or(input),
        cache_write: amount("cache_write").unwrap_or(input),
    }
}

/// Reads what a caller may use.
pub(super) fn budget(section: &mut Section<'_>) -> Budget {
    let mut tokens = |key| whole(section, key, 1..=MAX_TOKENS).and_then(NonZeroU64::new);
    let (tokens_per_day, tokens_per_month) = (tokens("tokens_per_day"), tokens("tokens_per_month"));
    let mut cost = |key| millionths(section, key, MAX_COST, Zero::Refused).and_then(NonZeroU64::new);
    let (cost_per_day, cost_per_month) = (cost("cost_per_day"), cost("cost_per_month"));
    at_least_one(section, &BUDGETS);
    Budget { tokens_per_day, tokens_per_month, cost_per_day, cost_per_month }
}

/// Reads the place of a caller among those that wait.
pub(super) fn queue_share(section: &mut Section<'_>) -> QueueShare {
    let default = QueueShare::default();
    let weight = whole(section, "weight", 1..=MAX_WEIGHT).and_then(|weight| u32::try_from(weight).ok());
    let priority = section.string("priority").filter(|priority| !priority.is_empty());
    let is_batch = priority.and_then(|priority| section.checked("priority", is_batch(priority)));
    QueueShare { weight: weight.unwrap_or(default.weight), is_batch: is_batch.unwrap_or(default.is_batch) }
}

fn is_batch(priority: &str) -> Result<bool, String> {
    match priority {
        "interactive" => Ok(false),
        "batch" => Ok(true),
        other => Err(format!("is {other:?}; it must be interactive or batch")),
    }
}

fn number(section: &mut Section<'_>, key: &str, most: u32) -> Option<u32> {
    whole(section, key, 1..=u64::from(most)).and_then(|number| u32::try_from(number).ok())
}

/// Reports a table that has none of these keys, which would limit nothing.
fn at_least_one(section: &mut Section<'_>, keys: &[&str]) {
    if !keys.iter().any(|key| section.has(key)) {
        section.problem_here(format!("limits nothing. Add at least one of {}", keys.join(", ")));
    }
}
