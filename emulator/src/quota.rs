//! The quotas of models, as Bedrock has them: tokens a minute, requests a minute and streams, by model and region.
//!
//! A request reserves its input tokens and its `max_tokens` when it begins. When its answer ends, the reservation is replaced by what the
//! answer reports: input, cache writes, and output times the burndown rate. Cache reads are free. An answer that reports nothing, because it
//! was cut or abandoned, is charged its reservation.
//!
//! - `settings` has the numbers of a quota, and reads them from text
//! - `level` is the arithmetic of a minute: a bucket that drains, or a sliding sum
//! - `meter` admits requests to one quota and settles them; `usage` has its counts
//! - `tokens` finds what a request reserves and what an answer reports

mod level;
mod meter;
mod settings;
mod tokens;
mod usage;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};

pub(crate) use self::{
    meter::{Admitted, Meter},
    tokens::Need,
};
pub use self::{
    settings::{MinuteModel, ModelQuota, Quota, QuotaError},
    usage::QuotaUsage,
};

/// A model, and the region for which requests are signed. Without a region it is any.
type Key = (String, Option<String>);

/// The quotas that are enforced.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    meters: Mutex<BTreeMap<Key, Arc<Meter>>>,
    /// Those of the configuration.
    started: BTreeMap<Key, Quota>,
}

impl Quotas {
    /// The quotas of the configuration.
    pub(crate) fn load(quotas: Vec<ModelQuota>) -> Result<Self, QuotaError> {
        let mut started = BTreeMap::new();
        for ModelQuota { model_id, region, quota } in quotas {
            quota.check()?;
            if started.insert((model_id.clone(), region.clone()), quota).is_some() {
                let region = region.map(|region| format!("@{region}")).unwrap_or_default();
                return Err(QuotaError(format!("there are two quotas for {model_id}{region}")));
            }
        }
        let all = Self { started, ..Self::default() };
        all.reset();
        Ok(all)
    }

    /// The quotas of the configuration again, with all counts at zero.
    pub(crate) fn reset(&self) {
        let meters = self.started.iter().map(|(key, quota)| (key.clone(), Arc::new(Meter::new(*quota))));
        *self.meters.lock() = meters.collect();
    }

    /// Sets a quota, with all counts at zero. Requests that are running settle with the quota that it replaces.
    pub(crate) fn set(&self, model_id: &str, region: Option<&str>, quota: Quota) -> Result<(), QuotaError> {
        quota.check()?;
        self.meters.lock().insert(key(model_id, region), Arc::new(Meter::new(quota)));
        Ok(())
    }

    /// Removes a quota. Returns whether there was one.
    pub(crate) fn remove(&self, model_id: &str, region: Option<&str>) -> bool {
        self.meters.lock().remove(&key(model_id, region)).is_some()
    }

    /// The quota for a request to this model that was signed for this region. One for the region replaces the one for any.
    pub(crate) fn find(&self, model_id: &str, region: &str) -> Option<Arc<Meter>> {
        let meters = self.meters.lock();
        meters.get(&key(model_id, Some(region))).or_else(|| meters.get(&key(model_id, None))).cloned()
    }

    /// The counts of the quota that was set for exactly this model and region.
    pub(crate) fn usage(&self, model_id: &str, region: Option<&str>) -> Option<QuotaUsage> {
        self.meters.lock().get(&key(model_id, region)).map(|meter| meter.usage())
    }

    pub(crate) fn json(&self) -> Value {
        let meters = self.meters.lock();
        let one = |((model_id, region), meter): (&Key, &Arc<Meter>)| json!({"model_id": model_id, "region": region, "quota": meter.quota(), "usage": meter.usage()});
        meters.iter().map(one).collect()
    }
}

fn key(model_id: &str, region: Option<&str>) -> Key {
    (model_id.to_owned(), region.map(str::to_owned))
}

#[cfg(test)]
mod tests;
