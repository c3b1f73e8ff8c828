//! Routes and aliases: one set of names. An alias is a route with defaults, so its targets are parsed with those of the routes.

use std::collections::BTreeMap;

use super::{
    ServeArgs,
    file::{AliasBlock, ConfigFile},
    local,
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
            let (scripts, recordings) = (self.scripts.as_ref(), self.recordings.as_ref());
            let models = local::Named { scripts, recordings, written: &written, routes: &routes, default_model };
            local::check(&models, problems);
        }
        let aliases = blocks.iter().map(|block| (block.name.clone(), block.alias.clone())).collect();
        Models { routes, aliases, names }
    }
}
