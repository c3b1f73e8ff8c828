//! What changes while the server runs: the callers, the models, the limits, the quotas, and the filter of log lines.

use std::{future::pending, sync::Arc};

use tracing::{info, warn};

use super::account_quotas::AccountQuotas;
use crate::{
    admission::AdmissionControl,
    admission::LimitSettings,
    audit::Audit,
    config::{Change, Settings, Watcher, quota_warnings},
    error::ConfigError,
    identity::{directory::Directory, settings::IdentitySettings},
    in_force::InForce,
    metrics::Metrics,
    quota::ledger::Ledger,
    response::registry::CallRegistry,
    telemetry::logs::LogFilter,
};

/// Applies new settings to a running server. Clones do the same.
#[derive(Clone, Debug)]
pub struct Reload {
    pub(super) directory: Directory,
    pub(super) registry: CallRegistry,
    pub(super) admission: AdmissionControl,
    pub(super) ledger: Ledger,
    pub(super) account_quotas: AccountQuotas,
    pub(super) metrics: Metrics,
    pub(super) audit: Audit,
    /// `None` if the process does not log.
    pub(super) log: Option<LogFilter>,
}

impl Reload {
    /// Applies the changes of the configuration file while it is polled.
    pub(super) async fn watch(&self, watcher: Option<Watcher>) {
        let Some(mut watcher) = watcher else { return pending().await };
        loop {
            match watcher.changed().await {
                Change::Settings { settings, at_next_start } => self.apply(&settings, &at_next_start),
                Change::Refused(ConfigError(problems)) => {
                    self.metrics.reload_failed();
                    for problem in problems {
                        warn!(
                            %problem,
                            "the configuration file has changed and cannot be used. The settings stay the same"
                        );
                    }
                }
            }
        }
    }

    /// Applies new settings, except those that take effect at the next start.
    pub fn apply(&self, settings: &Settings, at_next_start: &[String]) {
        let next = self.directory.in_force().next(&settings.rules, &settings.limits, &settings.quotas);
        if let Err(problems) = self.replace(&settings.identity, next) {
            self.metrics.reload_failed();
            warn!(problems = problems.join("; "), "the issuers of tokens cannot be used. The settings stay the same");
            return;
        }
        if let Some(log) = &self.log {
            // The filter was checked with the other settings.
            let _ = log.replace(&settings.log);
        }
        for warning in quota_warnings(settings) {
            warn!("{warning}");
        }
        let generation = self.metrics.reloaded();
        info!(generation, "the configuration file was read again");
        if !at_next_start.is_empty() {
            warn!(settings = at_next_start.join(", "), "these settings take effect at the next start");
        }
    }

    /// Replaces all callers at once. Streams of callers, keys and certificates that are removed or disabled end with `CREDENTIALS_REVOKED`.
    ///
    /// # Errors
    /// What is wrong with the issuers of tokens. Then nothing changes.
    pub fn replace_callers(&self, settings: &IdentitySettings) -> Result<(), Vec<String>> {
        self.replace(settings, self.directory.in_force())
    }

    /// Replaces callers, models, limits and quotas, all at once.
    fn replace(&self, settings: &IdentitySettings, in_force: Arc<InForce>) -> Result<(), Vec<String>> {
        let (limits, quotas) = (in_force.limits.clone(), Arc::clone(&in_force.quotas));
        let changes = self.directory.replace(settings, in_force)?;
        self.account_quotas.follow(&quotas, &self.ledger);
        self.admission.budgets().follow(settings.budgets());
        self.admission.follow(&limits, |caller| self.directory.max_streams_of(caller));
        let LimitSettings { streams, streams_per_caller, streams_per_model, .. } = limits.settings;
        self.metrics.limits(streams, streams_per_caller, streams_per_model);
        self.audit.callers_replaced(settings.callers.len(), &changes);
        // A stream that is registered after this looks into the new directory itself.
        self.registry.end_where(|identity| self.directory.has_revoked(identity), Directory::revocation);
        info!(callers = settings.callers.len(), "the callers are replaced");
        Ok(())
    }
}
