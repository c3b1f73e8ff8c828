//! The settings that requests are checked against.

use std::collections::BTreeMap;

use super::{alias::Alias, timeouts::TimeoutSettings};
use crate::{
    failover::routes::Routes,
    proto::{Model, ModelKind},
};

/// The settings that requests are checked against.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The model or route of a request that names none.
    pub default_model: Option<String>,
    /// The routes, by the names that requests may use in place of a model. Aliases are among them.
    pub routes: Routes,
    /// What aliases add to their routes, by name.
    pub aliases: BTreeMap<String, Alias>,
    /// The default timeouts and their maxima.
    pub timeouts: TimeoutSettings,
}

impl Rules {
    /// Whether the configuration names this model or route: as the default, as a route, or as a target of a route.
    pub(crate) fn is_configured(&self, name: &str) -> bool {
        self.default_model.as_deref() == Some(name) || self.routes.has(name)
    }

    /// The models and routes that a caller may name, the default first.
    pub(crate) fn models(&self) -> Vec<Model> {
        let default = self.default_model.as_deref();
        let routes = self.routes.names().filter(|name| Some(*name) != default);
        default.into_iter().chain(routes).map(|name| self.model(name)).collect()
    }

    fn model(&self, name: &str) -> Model {
        let alias = self.aliases.get(name);
        let is_route = self.routes.names().any(|route| route == name);
        let kind = if is_route { ModelKind::Route } else { ModelKind::Model };
        Model {
            name: name.to_owned(),
            is_default: self.default_model.as_deref() == Some(name),
            description: alias.map(|alias| alias.description.clone()).unwrap_or_default(),
            kind: kind.into(),
            max_tokens: alias.and_then(|alias| alias.max_tokens_limit),
            ..Model::default()
        }
    }
}
