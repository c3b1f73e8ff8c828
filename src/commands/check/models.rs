//! Whether the models of the configuration are in their regions, by the listings of the AWS account.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    bedrock::account::{Account, Listed},
    config::Settings,
    failover::routes::Target,
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Models that are not there.
    pub(super) problems: Vec<String>,
    /// Regions that could not be asked.
    pub(super) warnings: Vec<String>,
}

/// Looks for every model that the configuration names by its id.
pub(super) async fn check(settings: &Settings, account: &Account) -> Found {
    let mut found = Found::default();
    let mut named: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let rules = &settings.rules;
    let default = rules.default_model.iter().map(|name| ("default_model".to_owned(), rules.routes.targets(name)));
    let routes = rules.routes.names().map(|name| (format!("the route {name}"), rules.routes.targets(name)));
    let quotas = settings.quotas.quotas.iter();
    let quotas = quotas.map(|quota| {
        let target = Target { model_id: quota.model_id.clone(), region: quota.region.clone() };
        ("a [[quota]]".to_owned(), vec![target])
    });
    for (who, targets) in default.chain(routes).chain(quotas) {
        // An ARN can be that of another account, which no listing has.
        for Target { model_id, region } in targets.into_iter().filter(|target| !target.model_id.starts_with("arn:")) {
            let region = region.unwrap_or_else(|| account.home().to_owned());
            named.entry(region).or_default().insert((model_id, who.clone()));
        }
    }
    for (region, models) in named {
        match account.list(&region).await {
            Ok(listed) => {
                let missing = models.iter().filter_map(|(model, who)| Some(format!("{who} names {model}, {}", problem(&listed, model, &region)?)));
                found.problems.extend(missing);
            }
            Err(error) => found.warnings.push(format!(
                "the models in {region} cannot be checked: {}. The role needs bedrock:ListFoundationModels and bedrock:ListInferenceProfiles",
                error.for_log()
            )),
        }
    }
    found
}

/// What is wrong with a model in a region.
fn problem(listed: &Listed, model: &str, region: &str) -> Option<String> {
    if listed.by_profile_alone.contains(model) {
        let ending = format!(".{model}");
        let profiles = listed.models.iter().map(|known| known.name.as_str()).filter(|name| name.ends_with(&ending));
        let profiles: Vec<_> = profiles.collect();
        return Some(format!("which {region} has only by an inference profile. Name one: {}", profiles.join(", ")));
    }
    if listed.models.iter().any(|known| known.name == model) {
        return None;
    }
    Some(format!("which {region} does not have. Name another, or ask for access to it"))
}
