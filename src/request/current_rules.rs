//! The rules of a running server, of which a reload replaces the models: the default model and the routes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Rules;

/// The rules that are in force. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CurrentRules(Arc<ArcSwap<Rules>>);

impl CurrentRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    /// The rules for a call. They stay the same for it whatever is replaced meanwhile.
    pub(crate) fn load(&self) -> Arc<Rules> {
        self.0.load_full()
    }

    /// Replaces the default model and the routes by those of other rules, both at once. The timeouts stay: other parts of the server have
    /// them too.
    pub(crate) fn replace_models(&self, rules: &Rules) {
        let timeouts = self.load().timeouts;
        self.0.store(Arc::new(Rules { timeouts, ..rules.clone() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failover::routes::Routes, request::timeouts::TimeoutSettings};

    #[test]
    fn a_call_keeps_its_rules_and_the_next_one_has_the_new_models() {
        let current = CurrentRules::new(Rules { default_model: Some("a.b".to_owned()), ..Rules::default() });
        let of_call = current.clone().load();
        let mut timeouts = TimeoutSettings::default();
        timeouts.max.connect += std::time::Duration::from_secs(1);
        let routes = Routes::parse(&["fast=c.d".to_owned()], 3).unwrap();
        current.replace_models(&Rules { default_model: Some("fast".to_owned()), routes, timeouts, ..Rules::default() });
        assert_eq!((of_call.default_model.as_deref(), of_call.routes.names().count()), (Some("a.b"), 0));
        let next = current.load();
        assert_eq!((next.default_model.as_deref(), next.routes.names().count()), (Some("fast"), 1));
        assert_eq!(next.timeouts.max.connect, of_call.timeouts.max.connect);
    }
}
