//! Makes metrics from rows of the table, and registers them.

use std::borrow::Cow;

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{TypedMetric, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use super::{
    gaps::Gaps,
    table::{In, Row},
};

/// The value of a label.
pub(super) type Value = Cow<'static, str>;

type Labels<const N: usize> = [(&'static str, Value); N];

/// A metric for each combination of the values of its labels.
pub(super) struct Labelled<M, const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, M, fn() -> M>,
}

impl<M: Clone, const N: usize> Labelled<M, N> {
    /// The metric with these values, in the order of the table.
    pub(super) fn of(&self, values: [Value; N]) -> M {
        let mut values = values.into_iter();
        let labels = self.names.map(|name| (name, values.next().unwrap_or_default()));
        self.family.get_or_create_owned(&labels)
    }

    /// Removes the metric with these values.
    pub(super) fn remove(&self, values: [Value; N]) {
        let mut values = values.into_iter();
        self.family.remove(&self.names.map(|name| (name, values.next().unwrap_or_default())));
    }
}

/// The value of a label that is not part of the code.
pub(super) fn owned(text: &str) -> Value {
    Cow::Owned(text.to_owned())
}

/// A registry to which metrics are added.
#[derive(Default)]
pub(super) struct Registering(pub(super) Registry);

impl Registering {
    pub(super) fn counter(&mut self, row: Row<0>) -> Counter {
        self.add(row, Counter::default())
    }

    pub(super) fn gauge(&mut self, row: Row<0>) -> Gauge {
        self.add(row, Gauge::default())
    }

    pub(super) fn histogram(&mut self, row: Row<0>, make: fn() -> Histogram) -> Histogram {
        self.add(row, make())
    }

    pub(super) fn counters<const N: usize>(&mut self, row: Row<N>) -> Labelled<Counter, N> {
        self.labelled(row, Counter::default)
    }

    pub(super) fn gauges<const N: usize>(&mut self, row: Row<N>) -> Labelled<Gauge, N> {
        self.labelled(row, Gauge::default)
    }

    pub(super) fn histograms<const N: usize>(
        &mut self,
        row: Row<N>,
        make: fn() -> Histogram,
    ) -> Labelled<Histogram, N> {
        self.labelled(row, make)
    }

    pub(super) fn gaps<const N: usize>(&mut self, row: Row<N>) -> Labelled<Gaps, N> {
        self.labelled(row, Gaps::default)
    }

    fn labelled<M, const N: usize>(&mut self, row: Row<N>, make: fn() -> M) -> Labelled<M, N>
    where
        M: Metric + EncodeMetric + TypedMetric + Clone,
    {
        let family = self.add(row, Family::new_with_constructor(make));
        Labelled { names: row.labels, family }
    }

    fn add<M: Metric + Clone, const N: usize>(&mut self, row: Row<N>, metric: M) -> M {
        let name = registered(row.name, row.unit);
        match unit(row.unit) {
            Some(unit) => self.0.register_with_unit(name, row.meaning, unit, metric.clone()),
            None => self.0.register(name, row.meaning, metric.clone()),
        }
        metric
    }
}

/// The name without what the library adds to it: the unit, and `_total`.
pub(super) fn registered(name: &'static str, unit: In) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let suffix = match unit {
        In::Number => return name,
        In::Seconds => "_seconds",
        In::Bytes => "_bytes",
    };
    name.strip_suffix(suffix).unwrap_or(name)
}

/// The same unit for the library.
pub(super) fn unit(unit: In) -> Option<Unit> {
    match unit {
        In::Number => None,
        In::Seconds => Some(Unit::Seconds),
        In::Bytes => Some(Unit::Bytes),
    }
}
