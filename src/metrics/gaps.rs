//! A histogram that takes the gaps of a whole stream at once. The library's takes its lock for each value.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

use crate::outcome::pace::{GAPS, Pace};

/// The gaps of all streams. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps(Arc<Mutex<Counted>>);

#[derive(Clone, Debug, Default)]
struct Counted {
    sum: f64,
    buckets: [u64; GAPS.len() + 1],
}

impl Gaps {
    /// Adds the gaps of a stream.
    pub(super) fn add(&self, pace: &Pace) {
        let mut counted = self.0.lock();
        counted.sum += pace.total().as_secs_f64();
        for (all, new) in counted.buckets.iter_mut().zip(pace.gaps()) {
            *all += new;
        }
    }
}

impl EncodeMetric for Gaps {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let Counted { sum, buckets } = self.0.lock().clone();
        let ends = GAPS.into_iter().chain([f64::INFINITY]);
        let by_end: Vec<_> = ends.zip(buckets).collect();
        encoder.encode_histogram::<NoLabelSet>(sum, buckets.iter().sum(), &by_end, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Gaps {
    const TYPE: MetricType = MetricType::Histogram;
}
