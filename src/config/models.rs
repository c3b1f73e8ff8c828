//! Routes and aliases: one set of names. An alias is a route with defaults, so its targets are parsed with those of the routes.

use std::collections::BTreeMap;

use bedrock_emulator::{RECORDING_PREFIX, SCRIPT_PREFIX};

use super::{
    ServeArgs,
    file::{AliasBlock, ConfigFile, meant},
    problems::Problems,
};
use crate::{
    failover::routes::{Routes, WrittenRoute},
    request::alias::Alias,
};

/// The models that a request can name.
#[derive(Debug, Default)]
pub(super) struct Models {
    /// The targets of every route and alias.
    pub(super) routes: Routes,
    /// What the aliases add to them.
    pub(super) aliases: BTreeMap<String, Alias>,
    /// The names of all routes and aliases, also of those that have problems.
    pub(super) names: Vec<String>,
}

impl ServeArgs {
    /// The routes of the flag, and the aliases of the file. Problems with them are added.
    pub(super) fn models(
        &self,
        file: Option<&ConfigFile>,
        attempts: usize,
        default_model: Option<&str>,
        problems: &mut Problems,
    ) -> Models {
        let mut written = Vec::new();
        for entry in self.routes.iter().filter(|route| !route.trim().is_empty()) {
            match WrittenRoute::of_flag(entry) {
                Ok(route) => written.push(route),
                Err(problem) => problems.add(problem),
            }
        }
        let blocks = file.map(|file| file.aliases.as_slice()).unwrap_or_default();
        let place = |AliasBlock { name, key, .. }: &AliasBlock| {
            file.map(|file| file.located(&format!("alias.{name}.{key}"), "")).unwrap_or_default().trim_end().to_owned()
        };
        let complete = blocks.iter().filter(|block| !block.targets.is_empty());
        written.extend(complete.map(|block| WrittenRoute {
            place: place(block),
            name: block.name.clone(),
            targets: block.targets.clone(),
        }));
        let mut names: Vec<_> = written.iter().map(|route| route.name.clone()).collect();
        names.extend(blocks.iter().map(|block| block.name.clone()));
        // A number that is wrong is reported by itself.
        let most = if attempts == 0 { usize::MAX } else { attempts };
        let routes = Routes::of(&written, most).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            Routes::default()
        });
        for AliasBlock { name, alias, .. } in blocks {
            let Some(file) = file else { continue };
            for problem in alias.problems(&routes.targets_of(name)) {
                let key = if problem.key.is_empty() { name.clone() } else { format!("{name}.{}", problem.key) };
                problems.add(file.located(&format!("alias.{key}"), &problem.text));
            }
        }
        if self.local {
            self.local_models(&written, &routes, default_model, problems);
        }
        let aliases = blocks.iter().map(|block| (block.name.clone(), block.alias.clone())).collect();
        Models { routes, aliases, names }
    }

    /// Refuses names of scripts and recordings that the emulator does not have. Any other model id has its ordinary answer.
    fn local_models(
        &self,
        written: &[WrittenRoute],
        routes: &Routes,
        default_model: Option<&str>,
        problems: &mut Problems,
    ) {
        let known = match bedrock_emulator::models(self.scripts.as_deref(), self.recordings.as_deref()) {
            Ok(known) => known,
            // A folder that is missing is reported with its flag.
            Err(_) if [&self.scripts, &self.recordings].into_iter().flatten().any(|folder| !folder.is_dir()) => return,
            Err(error) => return problems.add(format!("--local cannot be used: {error}")),
        };
        let is_unknown = |model: &str| {
            (model.starts_with(SCRIPT_PREFIX) || model.starts_with(RECORDING_PREFIX))
                && !known.iter().any(|name| name == model)
        };
        let mut check = |place: &str, model: &str| {
            if is_unknown(model) {
                let meant = meant(model, known.iter().map(String::as_str));
                problems.add(format!("{place} names {model}, which the emulator does not have{meant}"));
            }
        };
        for WrittenRoute { place, name, .. } in written {
            routes.targets_of(name).iter().for_each(|target| check(place, &target.model_id));
        }
        if let Some(model) = default_model.filter(|model| !routes.names().any(|name| name == *model)) {
            check("--default-model", model);
        }
    }
}
