//! The metrics of calls. Their attributes are bounded: methods, codes, reasons, and the models and routes of the configuration.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter},
};
use parking_lot::Mutex;
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

/// What is measured. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Measurements {
    instruments: Arc<Instruments>,
    /// The inferences of each model, by its bounded name.
    of_models: Arc<Mutex<HashMap<String, Arc<OfModel>>>>,
}

/// All instruments.
#[derive(Debug)]
struct Instruments {
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

/// Measures the inferences of one model. What is measured of every inference without an error is bound to its attributes, which are found
/// once. It is bound when the first of it is measured: an instrument that is bound is sent, also if nothing was measured.
#[derive(Debug)]
pub(super) struct OfModel {
    attributes: [KeyValue; 3],
    instruments: Arc<Instruments>,
    begun: OnceLock<Begun>,
    finished: OnceLock<Finished>,
}

/// From the first chunk on.
#[derive(Debug)]
struct Begun {
    first_chunks: BoundHistogram<f64>,
    chunks: BoundHistogram<f64>,
}

/// At the end without an error.
#[derive(Debug)]
struct Finished {
    inferences: BoundHistogram<f64>,
    inputs: BoundHistogram<u64>,
    outputs: BoundHistogram<u64>,
    tokens: Tokens,
}

/// The counters of tokens.
#[derive(Debug)]
struct Tokens {
    input: BoundCounter<u64>,
    output: BoundCounter<u64>,
    cache_read: BoundCounter<u64>,
    cache_write: BoundCounter<u64>,
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

impl OfModel {
    /// Records the first chunk. Returns what measures the chunks after it.
    pub(super) fn first_chunk(&self, after: Duration, first: Instant) -> ChunkMeter {
        let begun = self.begun.get_or_init(|| Begun {
            first_chunks: self.instruments.first_chunks.bind(&self.attributes),
            chunks: self.instruments.chunks.bind(&self.attributes),
        });
        begun.first_chunks.record(seconds(after));
        ChunkMeter { gaps: begun.chunks.clone(), unrecorded: Vec::with_capacity(GAPS_TOGETHER), last: first }
    }

    /// Records an inference that has ended. Without usage the tokens are 0, as the conventions want it.
    pub(super) fn ended(&self, status: &Status, duration: Duration, used: Option<Used>) {
        let used = used.unwrap_or_default();
        match status.reason {
            None => self.finished.get_or_init(|| self.finished()).record(duration, used),
            Some(reason) => self.failed(reason).record(duration, used),
        }
    }

    fn finished(&self) -> Finished {
        self.bound(&self.attributes)
    }

    fn failed(&self, reason: &'static str) -> Finished {
        self.bound(&self.with(KeyValue::new(ERROR_TYPE, reason)))
    }

    fn bound(&self, attributes: &[KeyValue]) -> Finished {
        let Instruments { inferences, inputs, outputs, .. } = &*self.instruments;
        let (inferences, inputs, outputs) =
            (inferences.bind(attributes), inputs.bind(attributes), outputs.bind(attributes));
        // Bedrock does not tell the modality of tokens.
        let attributes = self.with(KeyValue::new(MODALITY, "unknown"));
        let Instruments { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, .. } = &*self.instruments;
        let tokens = Tokens {
            input: input_tokens.bind(&attributes),
            output: output_tokens.bind(&attributes),
            cache_read: cache_read_tokens.bind(&attributes),
            cache_write: cache_write_tokens.bind(&attributes),
        };
        Finished { inferences, inputs, outputs, tokens }
    }

    fn with(&self, further: KeyValue) -> Vec<KeyValue> {
        self.attributes.iter().cloned().chain([further]).collect()
    }
}

impl Finished {
    fn record(&self, duration: Duration, Used { input, output, cache_read, cache_write }: Used) {
        self.inferences.record(seconds(duration));
        self.inputs.record(input.into());
        self.outputs.record(output.into());
        self.tokens.input.add(input.into());
        self.tokens.output.add(output.into());
        self.tokens.cache_read.add(cache_read.into());
        self.tokens.cache_write.add(cache_write.into());
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
        let instruments = Instruments {
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
        };
        Self { instruments: Arc::new(instruments), of_models: Arc::default() }
    }

    pub(super) fn call(&self, method: &str, status: &Status, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new(RPC_SYSTEM, "grpc"),
            KeyValue::new(RPC_METHOD, method.to_owned()),
            KeyValue::new(RPC_STATUS, status.code),
        ];
        attributes.extend(status.is_fault.then(|| KeyValue::new(ERROR_TYPE, status.code)));
        self.instruments.calls.record(seconds(duration), &attributes);
    }

    /// Measures the inferences of the model with this bounded name.
    pub(super) fn of_model(&self, model: &str) -> Arc<OfModel> {
        let mut of_models = self.of_models.lock();
        if let Some(of_model) = of_models.get(model) {
            return Arc::clone(of_model);
        }
        let attributes = [
            KeyValue::new(OPERATION, CHAT),
            KeyValue::new(PROVIDER, BEDROCK),
            KeyValue::new(REQUEST_MODEL, model.to_owned()),
        ];
        let (begun, finished) = (OnceLock::new(), OnceLock::new());
        let of_model = Arc::new(OfModel { attributes, instruments: Arc::clone(&self.instruments), begun, finished });
        of_models.insert(model.to_owned(), Arc::clone(&of_model));
        of_model
    }
}
