//! The flags of the waiting for quota, and the checks of quotas, prices and budgets against the rest of the settings.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::{
    Settings,
    file::{ConfigFile, meant},
    problems::Problems,
};
use crate::{
    failover::routes::{Routes, Target, is_model},
    identity::{Permissions, settings::CallerSettings},
    quota::settings::{ModelQuota, QuotaSettings},
};

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Quotas")]
pub struct QuotaArgs {
    /// The time for which a call waits for the quota of a model; 0s refuses at once
    #[arg(long, env = "OUTCROP_QUOTA_QUEUE_TIME", default_value = "10s", value_name = "DURATION")]
    pub quota_queue_time: String,
    /// The maximum number of calls that wait for quota; one client can have a quarter of them
    #[arg(long, env = "OUTCROP_QUOTA_QUEUE_LENGTH", default_value = "1000", value_name = "NUMBER")]
    pub quota_queue_length: String,
    /// The time for which a call waits for the target that has its prompt cache, before it goes to another target of its route; 0s tries
    /// them in their order
    #[arg(long, env = "OUTCROP_CACHE_AFFINITY", default_value = "2s", value_name = "DURATION")]
    pub cache_affinity: String,
    /// Whether servers share quotas, budgets and the limits of callers: `auto` shares them among the servers whose conversations are in one
    /// Redis, `off` gives each server the whole of each
    #[arg(long, env = "OUTCROP_SHARE_LIMITS", default_value = "auto", value_name = "MODE")]
    pub share_limits: String,
}

impl QuotaArgs {
    /// The quotas and prices of the file, and the waiting.
    pub(super) fn quotas(
        &self,
        file: Option<&ConfigFile>,
        around: &Around<'_>,
        problems: &mut Problems,
    ) -> QuotaSettings {
        if let Some(file) = file {
            Check { file, around, named: Named::new(file, around), problems }.all();
        }
        QuotaSettings {
            quotas: file.map(|file| file.quotas.clone()).unwrap_or_default(),
            prices: file.map(|file| file.prices.clone()).unwrap_or_default(),
            queue_time: problems.duration("--quota-queue-time", &self.quota_queue_time, true),
            queue_length: problems.at_least_one("--quota-queue-length", &self.quota_queue_length),
            cache_affinity: problems.duration("--cache-affinity", &self.cache_affinity, true),
        }
    }

    /// Whether servers with one Redis share what they limit.
    pub(super) fn share_limits(&self, problems: &mut Problems) -> bool {
        match self.share_limits.trim() {
            "auto" => true,
            "off" => false,
            other => {
                problems.add(format!("--share-limits is {other:?}; it must be auto or off"));
                false
            }
        }
    }
}

/// Warnings about quotas that can be used, and that refuse more than is likely meant.
pub fn quota_warnings(settings: &Settings) -> Vec<String> {
    let quotas = settings.quotas.quotas.iter();
    let small =
        quotas.filter(|quota| quota.tokens_per_minute.is_some_and(|tokens| tokens.get() < quota.max_tokens.into()));
    small
        .map(|ModelQuota { model_id, max_tokens, tokens_per_minute, .. }| {
            let tokens = tokens_per_minute.map(u64::from).unwrap_or_default();
            format!(
                "the quota of {model_id} is {tokens} tokens a minute, and a request without max_tokens reserves {max_tokens}: every such request is refused. Set max_tokens in requests or in an alias, or max_tokens of the quota if that of the model is lower"
            )
        })
        .collect()
}

/// The settings that quotas and prices must match.
pub(super) struct Around<'a> {
    /// The targets of every route and alias.
    pub(super) routes: &'a Routes,
    /// The names of all routes and aliases, also of those that have problems.
    pub(super) names: &'a [String],
    /// The default model.
    pub(super) default_model: Option<&'a str>,
    /// The region of the server, if it is known.
    pub(super) home: Option<&'a str>,
}

/// The models that the configuration names.
struct Named {
    /// Those of the targets of routes, aliases and the default model.
    targets: BTreeSet<String>,
    /// Whether every route could be read.
    is_complete: bool,
    callers: Vec<Permissions>,
}

impl Named {
    fn new(file: &ConfigFile, around: &Around<'_>) -> Self {
        let Around { routes, names, default_model, .. } = around;
        let targets = routes.names().flat_map(|name| routes.targets(name));
        let targets = targets.chain(default_model.iter().flat_map(|name| routes.targets(name)));
        let known: BTreeSet<_> = routes.names().collect();
        Self {
            targets: targets.map(|Target { model_id, .. }| model_id).collect(),
            is_complete: !file.has_broken_names && names.iter().all(|name| known.contains(name.as_str())),
            callers: file.identity.callers.iter().map(|caller| Permissions::new(&caller.permissions)).collect(),
        }
    }

    /// Whether a call can name this model, which is of no target.
    fn can_be_called(&self, model: &str) -> bool {
        let has_callers = !self.callers.is_empty();
        !self.is_complete || !has_callers || self.callers.iter().any(|caller| caller.allow_model(model))
    }
}

struct Check<'a, 'b> {
    file: &'a ConfigFile,
    around: &'a Around<'a>,
    named: Named,
    problems: &'a mut Problems<'b>,
}

impl Check<'_, '_> {
    fn problem(&mut self, key: &str, text: &str) {
        self.problems.add(self.file.located(key, text));
    }

    fn all(&mut self) {
        let file = self.file;
        for problem in twins(file, self.around.home) {
            self.problems.add(problem);
        }
        let quotas = file.quotas.iter().enumerate();
        let quotas = quotas.map(|(at, quota)| (format!("quota[{at}].model"), quota.model_id.as_str()));
        for (key, model) in quotas.filter(|(_, model)| !model.is_empty()) {
            if let Err(text) = self.model(model, true) {
                self.problem(&key, &format!("is {model:?}, {text}"));
            }
        }
        for model in file.prices.keys() {
            if let Err(text) = self.model(model, false) {
                self.problem(&format!("price.{model}"), &format!("is for {model:?}, {text}"));
            }
        }
        for (at, caller) in file.identity.callers.iter().enumerate() {
            self.cost(at, caller);
        }
    }

    /// Refuses a name that no call can have. A price can be there for a model that no caller may use.
    fn model(&self, name: &str, is_called: bool) -> Result<(), String> {
        let Self { named, around: Around { routes, names, .. }, .. } = self;
        let meant = || meant(name, named.targets.iter().map(String::as_str));
        if named.targets.contains(name) {
            return Ok(());
        }
        if !is_model(name) || name.contains(char::is_whitespace) {
            let mut targets: Vec<_> = routes.targets_of(name).into_iter().map(|target| target.model_id).collect();
            targets.dedup();
            let listed = if targets.is_empty() { String::new() } else { format!(": {}", targets.join(", ")) };
            return Err(if names.iter().any(|known| known == name) {
                format!("which is the name of a route or an alias. Write the model of each of its targets{listed}")
            } else {
                let wanted = "Write it as the targets of routes do, such as us.amazon.nova-lite-v1:0 or an ARN";
                format!("which is not a model id. {wanted}{}", meant())
            });
        }
        if is_called && !named.can_be_called(name) {
            return Err(format!("which no route, alias or default model names and no caller may use{}", meant()));
        }
        Ok(())
    }

    /// Refuses a budget in money of a caller that may use models without a price, because its use of them would not be counted.
    fn cost(&mut self, at: usize, caller: &CallerSettings) {
        let budget = &caller.budget;
        let keys = [("cost_per_day", budget.cost_per_day), ("cost_per_month", budget.cost_per_month)];
        let Some((key, _)) = keys.iter().find(|(_, cost)| cost.is_some()) else { return };
        let key = format!("caller[{at}].budget.{key}");
        let Some(models) = &caller.permissions.models else {
            let text = "limits the cost, and the caller may use every model, also one without a price. Add models = [...] with routes, aliases and model ids that have a price";
            return self.problem(&key, text);
        };
        if let Some(pattern) = models.iter().find(|name| name.ends_with('*')) {
            let text = format!(
                "limits the cost, and {pattern:?} in models also allows models without a price. Write every name in full"
            );
            return self.problem(&key, &text);
        }
        if !self.named.is_complete {
            return;
        }
        let targets = models.iter().flat_map(|name| self.targets(name));
        let allowed =
            |target: &Target| match (target.region.as_deref().or(self.around.home), &caller.permissions.regions) {
                (Some(region), Some(regions)) => regions.contains(region),
                _ => true,
            };
        let unpriced: BTreeSet<_> = targets
            .filter(allowed)
            .map(|target| target.model_id)
            .filter(|model| !self.file.prices.contains_key(model))
            .collect();
        if !unpriced.is_empty() {
            let unpriced: Vec<_> = unpriced.into_iter().collect();
            let text = format!(
                "limits the cost, and there is no price of {}. Add [price.{:?}] for each, or take it out of models and of their routes",
                unpriced.join(", "),
                unpriced[0]
            );
            self.problem(&key, &text);
        }
    }

    /// The targets of a name that a caller may use. Empty if it is not known, which is reported.
    fn targets(&self, name: &str) -> Vec<Target> {
        let targets = self.around.routes.targets_of(name);
        if targets.is_empty() && is_model(name) { vec![Target::here(name)] } else { targets }
    }
}

/// The problems of quotas for the same model and region, of which only one could hold. `home` is the region of the server, if it is known.
pub(super) fn twins(file: &ConfigFile, home: Option<&str>) -> Vec<String> {
    let mut seen: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (at, ModelQuota { model_id, region, .. }) in
        file.quotas.iter().enumerate().filter(|(_, quota)| !quota.model_id.is_empty())
    {
        let region = region.as_deref().or(home);
        let Some(first) = seen.get(&(model_id, region)) else {
            seen.insert((model_id, region), at);
            continue;
        };
        let place = region.map_or_else(|| "the region of the server".to_owned(), str::to_owned);
        let line = file.line(&format!("quota[{first}]")).map(|line| format!(" in line {line}")).unwrap_or_default();
        let text = format!("is {model_id:?} in {place}, as of quota[{first}]{line}. Leave one of them out");
        problems.push(file.located(&format!("quota[{at}].model"), &text));
    }
    problems
}
