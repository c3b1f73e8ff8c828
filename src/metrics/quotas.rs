//! The metrics of quotas and budgets, which are read where they are kept at each scrape, so that calls pay nothing for them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    registering::{Value, owned, registered, unit},
    table::{self, Row},
};
use crate::proto::{CallerQuota, CallerQuotaKind, ModelQuota, QuotaUsage};

/// All quotas and budgets at one time.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) models: Vec<ModelFigures>,
    pub(crate) callers: Vec<CallerFigures>,
}

/// The quota of a model in a region.
#[derive(Debug)]
pub(crate) struct ModelFigures {
    pub(crate) quota: ModelQuota,
    /// The tokens that calls have been charged since the server started.
    pub(crate) charged_tokens: u64,
}

/// The budgets of a caller.
#[derive(Debug)]
pub(crate) struct CallerFigures {
    pub(crate) name: String,
    pub(crate) budgets: Vec<CallerQuota>,
}

type Source = Box<dyn Fn() -> Figures + Send + Sync>;

/// Reads them at each scrape, once there is a source. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Quotas(Arc<OnceLock<Source>>);

impl Quotas {
    /// Sets where they are read, once.
    pub(super) fn read_from(&self, source: impl Fn() -> Figures + Send + Sync + 'static) {
        // The first source stays.
        drop(self.0.set(Box::new(source)));
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quotas")
    }
}

impl Collector for Quotas {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(source) = self.0.get() else { return Ok(()) };
        let Figures { models, callers } = source();
        of_models(&models, &mut encoder)?;
        of_callers(&callers, &mut encoder)
    }
}

fn of_models(models: &[ModelFigures], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let target = |quota: &ModelQuota| [owned(&quota.model_id), owned(&quota.region)];
    let of_each = |value: fn(&QuotaUsage) -> u64, has: fn(&str) -> bool| {
        let each = models.iter().flat_map(move |ModelFigures { quota, .. }| {
            let usages = [
                ("tokens", &quota.tokens_per_minute),
                ("requests", &quota.requests_per_minute),
                ("streams", &quota.streams),
            ];
            usages.into_iter().filter(move |(name, _)| has(name)).filter_map(move |(name, usage)| {
                let [model, region] = target(quota);
                Some(([model, region, name.into()], ConstGauge::new(value(usage.as_ref()?))))
            })
        });
        each.collect::<Vec<_>>()
    };
    let all = |_: &str| true;
    write(encoder, table::QUOTA_LIMIT, &of_each(|usage| usage.limit, all))?;
    write(encoder, table::QUOTA_SHARE, &of_each(|usage| usage.share, all))?;
    // Requests are not reserved, and streams are only reserved.
    write(encoder, table::QUOTA_RESERVED, &of_each(|usage| usage.reserved, |name| name != "requests"))?;
    write(encoder, table::QUOTA_USED, &of_each(|usage| usage.used, |name| name != "streams"))?;
    write(encoder, table::QUOTA_FREE, &of_each(|usage| usage.free, all))?;
    let share = |figures: &ModelFigures| (target(&figures.quota), ConstGauge::new(figures.quota.safe_share));
    write(encoder, table::QUOTA_SAFE_SHARE, &models.iter().map(share).collect::<Vec<_>>())?;
    let waiting = |figures: &ModelFigures| (target(&figures.quota), ConstGauge::new(figures.quota.waiting_calls));
    write(encoder, table::QUOTA_WAITING, &models.iter().map(waiting).collect::<Vec<_>>())?;
    let throttled = |figures: &ModelFigures| (target(&figures.quota), ConstCounter::new(figures.quota.throttled_calls));
    write(encoder, table::QUOTA_THROTTLED, &models.iter().map(throttled).collect::<Vec<_>>())?;
    let charged = |figures: &ModelFigures| (target(&figures.quota), ConstCounter::new(figures.charged_tokens));
    write(encoder, table::QUOTA_CHARGED, &models.iter().map(charged).collect::<Vec<_>>())
}

fn of_callers(callers: &[CallerFigures], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let of_each = |value: fn(&QuotaUsage) -> u64| {
        let each = callers.iter().flat_map(move |CallerFigures { name, budgets }| {
            budgets.iter().filter_map(move |budget| {
                let usage = ConstGauge::new(value(budget.usage.as_ref()?));
                Some(([owned(name), Value::from(label(budget.kind())?)], usage))
            })
        });
        each.collect::<Vec<_>>()
    };
    write(encoder, table::BUDGET_LIMIT, &of_each(|usage| usage.limit))?;
    write(encoder, table::BUDGET_RESERVED, &of_each(|usage| usage.reserved))?;
    write(encoder, table::BUDGET_SPENT, &of_each(|usage| usage.used))
}

/// The label of a budget.
fn label(kind: CallerQuotaKind) -> Option<&'static str> {
    match kind {
        CallerQuotaKind::TokensPerDay => Some("tokens_per_day"),
        CallerQuotaKind::TokensPerMonth => Some("tokens_per_month"),
        CallerQuotaKind::CostMicrosPerDay => Some("cost_micros_per_day"),
        CallerQuotaKind::CostMicrosPerMonth => Some("cost_micros_per_month"),
        _ => None,
    }
}

/// Writes a metric with all its series. One without a series is left out.
fn write<const N: usize, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    row: Row<N>,
    series: &[([Value; N], M)],
) -> fmt::Result {
    let Some((_, first)) = series.first() else { return Ok(()) };
    let (name, unit) = (registered(row.name, row.unit), unit(row.unit));
    let mut metric = encoder.encode_descriptor(name, row.meaning, unit.as_ref(), first.metric_type())?;
    for (values, value) in series {
        let mut values = values.iter();
        let labels = row.labels.map(|name| (name, values.next().cloned().unwrap_or_default()));
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
