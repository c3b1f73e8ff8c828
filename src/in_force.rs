//! The settings that a reload replaces together with the callers: one swap of [`crate::identity::directory`] replaces all of them.
//!
//! A call gets them with its identity and keeps them, so that its permissions, its model and its limits are of one generation of the
//! configuration whatever it waits for.

use std::sync::Arc;

use crate::{
    admission::{LimitSettings, Limits},
    quota::settings::QuotaSettings,
    request::Rules,
};

/// The settings of one generation of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    /// What requests are checked against.
    pub(crate) rules: Rules,
    /// How much is admitted.
    pub(crate) limits: Limits,
    /// The quotas of models, and the waiting for them.
    pub(crate) quotas: Arc<QuotaSettings>,
}

impl InForce {
    /// The settings of the first generation.
    pub(crate) fn new(rules: &Rules, limits: &LimitSettings, quotas: &QuotaSettings) -> Arc<Self> {
        let limits = Limits { settings: limits.clone(), generation: 1 };
        Arc::new(Self { rules: rules.clone(), limits, quotas: Arc::new(quotas.clone()) })
    }

    /// The settings of the next generation. The timeouts stay: other parts of the server have them too.
    pub(crate) fn next(&self, rules: &Rules, limits: &LimitSettings, quotas: &QuotaSettings) -> Arc<Self> {
        let rules = Rules { timeouts: self.rules.timeouts, ..rules.clone() };
        let limits = Limits { settings: limits.clone(), generation: self.limits.generation + 1 };
        Arc::new(Self { rules, limits, quotas: Arc::new(quotas.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{failover::routes::Routes, request::timeouts::TimeoutSettings};

    #[test]
    fn the_next_generation_has_other_models_limits_and_quotas_and_the_same_timeouts() {
        let first = InForce::new(&Rules::default(), &LimitSettings::default(), &QuotaSettings::default());
        let mut timeouts = TimeoutSettings::default();
        timeouts.max.connect += Duration::from_secs(1);
        let routes = Routes::parse(&["fast=c.d".to_owned()], 3).unwrap();
        let rules = Rules { default_model: Some("fast".to_owned()), routes, timeouts, ..Rules::default() };
        let limits = LimitSettings { streams: 7, ..LimitSettings::default() };
        let next = first.next(&rules, &limits, &QuotaSettings { queue_length: 8, ..QuotaSettings::default() });
        assert_eq!(next.rules.default_model.as_deref(), Some("fast"));
        assert_eq!((next.limits.settings.streams, next.limits.generation), (7, 2));
        assert_eq!((first.quotas.queue_length, next.quotas.queue_length), (1_000, 8));
        assert_eq!(next.rules.timeouts.max.connect, first.rules.timeouts.max.connect);
    }
}
