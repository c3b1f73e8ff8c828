//! The metrics of calls. Their attributes are bounded: methods, codes, reasons, and the models and routes of the configuration.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, Counter, Histogram, Meter},
};
use tokio::time::Instant;

use super::{
    attributes::{
        BEDROCK, CHAT, ERROR_TYPE, MODALITY, OPERATION, PROVIDER, REQUEST_MODEL, RPC_METHOD, RPC_STATUS, RPC_SYSTEM,
        Status,
    },
    seconds,
};
use crate::event::Used;

/// The boundaries that the conventions recommend for calls, in seconds.
const CALLS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The same for inferences.
const INFERENCES: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The same for the tokens of an inference: powers of four.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// The gaps of a stream that are recorded together.
const GAPS_TOGETHER: usize = 32;

/// All instruments. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Measurements {
    calls: Histogram<f64>,
    inferences: Histogram<f64>,
    first_chunks: Histogram<f64>,
    chunks: Histogram<f64>,
    inputs: Histogram<u64>,
    outputs: Histogram<u64>,
    input_tokens: Counter<u64>,
    output_tokens: Counter<u64>,
    cache_read_tokens: Counter<u64>,
    cache_write_tokens: Counter<u64>,
}

/// Measures the chunks of one stream, without looking for their attributes and without the lock of the call.
#[derive(Debug)]
pub(crate) struct ChunkMeter {
    gaps: BoundHistogram<f64>,
    /// Gaps in seconds that are not recorded yet, because all streams share the histogram and each record takes its lock.
    unrecorded: Vec<f64>,
    /// When the last chunk arrived.
    last: Instant,
}

impl ChunkMeter {
    /// Measures chunks that arrived together.
    pub(crate) fn chunks(&mut self, count: u32, now: Instant) {
        for _ in 0..count {
            self.unrecorded.push(seconds(now.saturating_duration_since(self.last)));
            self.last = now;
            if self.unrecorded.len() >= GAPS_TOGETHER {
                self.record();
            }
        }
    }

    fn record(&mut self) {
        for gap in self.unrecorded.drain(..) {
            self.gaps.record(gap);
        }
    }
}

impl Drop for ChunkMeter {
    fn drop(&mut self) {
        self.record();
    }
}

/// The attributes of the inferences of a model.
#[derive(Clone, Debug)]
pub(super) struct Label([KeyValue; 3]);

impl Label {
    /// Of the model with this bounded name.
    pub(super) fn of(model: &str) -> Self {
        Self([
            KeyValue::new(OPERATION, CHAT),
            KeyValue::new(PROVIDER, BEDROCK),
            KeyValue::new(REQUEST_MODEL, model.to_owned()),
        ])
    }

    fn with(&self, further: impl IntoIterator<Item = KeyValue>) -> Vec<KeyValue> {
        self.0.iter().cloned().chain(further).collect()
    }
}

impl Measurements {
    pub(super) fn new(meter: &Meter) -> Self {
        let duration = |name: &'static str, help: &'static str, boundaries: [f64; 14]| {
            let histogram = meter.f64_histogram(name).with_description(help).with_unit("s");
            histogram.with_boundaries(boundaries.to_vec()).build()
        };
        let tokens = |name: &'static str, help: &'static str| {
            let histogram = meter.u64_histogram(name).with_description(help).with_unit("{token}");
            histogram.with_boundaries(TOKENS.to_vec()).build()
        };
        let used = |name: &'static str, help: &'static str| {
            meter.u64_counter(name).with_description(help).with_unit("{token}").build()
        };
        Self {
            calls: duration("rpc.server.call.duration", "Duration of calls", CALLS),
            inferences: duration("gen_ai.client.inference.duration", "Duration of inferences", INFERENCES),
            first_chunks: duration(
                "gen_ai.client.inference.time_to_first_chunk",
                "Time from the first attempt to the first chunk",
                INFERENCES,
            ),
            chunks: duration(
                "gen_ai.client.inference.time_per_output_chunk",
                "Time from each chunk to the next",
                INFERENCES,
            ),
            inputs: tokens("gen_ai.client.inference.operation.input_tokens", "Input tokens of an inference"),
            outputs: tokens("gen_ai.client.inference.operation.output_tokens", "Output tokens of an inference"),
            input_tokens: used(
                "gen_ai.client.inference.usage.input_tokens",
                "Input tokens used, including those of the prompt cache",
            ),
            output_tokens: used("gen_ai.client.inference.usage.output_tokens", "Output tokens used"),
            cache_read_tokens: used(
                "gen_ai.client.inference.usage.cache_read.input_tokens",
                "Input tokens read from the prompt cache",
            ),
            cache_write_tokens: used(
                "gen_ai.client.inference.usage.cache_write.input_tokens",
                "Input tokens written to the prompt cache",
            ),
        }
    }

    pub(super) fn call(&self, method: &str, status: &Status, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new(RPC_SYSTEM, "grpc"),
            KeyValue::new(RPC_METHOD, method.to_owned()),
            KeyValue::new(RPC_STATUS, status.code),
        ];
        attributes.extend(status.is_fault.then(|| KeyValue::new(ERROR_TYPE, status.code)));
        self.calls.record(seconds(duration), &attributes);
    }

    pub(super) fn first_chunk(&self, label: &Label, after: Duration) {
        self.first_chunks.record(seconds(after), &label.0);
    }

    /// Measures the chunks of a stream whose first one has arrived.
    pub(super) fn chunks_of(&self, label: &Label, first: Instant) -> ChunkMeter {
        ChunkMeter { gaps: self.chunks.bind(&label.0), unrecorded: Vec::with_capacity(GAPS_TOGETHER), last: first }
    }

    /// Without usage the tokens are 0, as the conventions want it.
    pub(super) fn inference(&self, label: &Label, status: &Status, duration: Duration, used: Option<Used>) {
        let error = status.reason.map(|reason| KeyValue::new(ERROR_TYPE, reason));
        let attributes = label.with(error);
        self.inferences.record(seconds(duration), &attributes);
        let Used { input, output, cache_read, cache_write } = used.unwrap_or_default();
        self.inputs.record(input.into(), &attributes);
        self.outputs.record(output.into(), &attributes);
        // Bedrock does not tell the modality of tokens.
        let attributes = label.with([KeyValue::new(MODALITY, "unknown")]);
        self.input_tokens.add(input.into(), &attributes);
        self.output_tokens.add(output.into(), &attributes);
        self.cache_read_tokens.add(cache_read.into(), &attributes);
        self.cache_write_tokens.add(cache_write.into(), &attributes);
    }
}
