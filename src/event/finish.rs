//! Combines `messageStop` and `metadata` into the one [`Finish`].

use prost_types::{Struct, Value as ProtoValue};
use serde_json::{Map, Value};

use super::{members::Members, unrecognized};
use crate::{
    json,
    proto::{
        CacheDetail, ConverseStreamMetrics, Finish, PerformanceConfiguration, ServiceTier, StopReason, TokenUsage,
        UsageSource,
    },
};

/// The stop reason of an answer in which a guardrail has intervened.
pub(super) const GUARDRAIL_INTERVENED: &str = "guardrail_intervened";

/// MessageStopEvent.
#[derive(Debug, Default)]
pub(super) struct Stop {
    pub(super) reason: StopReason,
    pub(super) reason_name: String,
    pub(super) additional_model_response_fields: Option<ProtoValue>,
    /// The members that are not known.
    pub(super) unrecognized: Map<String, Value>,
}

/// ConverseStreamMetadataEvent.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) usage: Option<TokenUsage>,
    pub(super) metrics: Option<ConverseStreamMetrics>,
    pub(super) trace: Option<Struct>,
    invoked_model_id: String,
    performance_config: Option<PerformanceConfiguration>,
    service_tier: Option<ServiceTier>,
    /// The members that are not known.
    pub(super) unrecognized: Map<String, Value>,
    pub(super) invocation_usage: Option<TokenUsage>,
}

/// The tokens that a message used, as reported by Bedrock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Input tokens, including those read from and written to the prompt cache.
    pub(crate) input: u32,
    /// Input tokens read from the prompt cache.
    pub(crate) cache_read: u32,
    /// Input tokens written to the prompt cache.
    pub(crate) cache_write: u32,
    /// Generated tokens.
    pub(crate) output: u32,
}

/// The end of an answer.
pub(super) struct Ending {
    pub(super) finish: Finish,
    /// The unknown members of both events.
    pub(super) unrecognized: Option<Struct>,
}

impl Used {
    pub(super) fn of(usage: &TokenUsage) -> Self {
        let count = |tokens: Option<i32>| u32::try_from(tokens.unwrap_or_default()).unwrap_or_default();
        let (cache_read, cache_write) = (count(usage.cache_read_input_tokens), count(usage.cache_write_input_tokens));
        // Bedrock reports tokens of the prompt cache separately from the other input tokens.
        let input = count(usage.input_tokens).saturating_add(cache_read).saturating_add(cache_write);
        Self { input, cache_read, cache_write, output: count(usage.output_tokens) }
    }

    /// Input and output together.
    pub(crate) fn total(self) -> u32 {
        self.input.saturating_add(self.output)
    }
}

pub(super) fn stop(members: &mut Members) -> Stop {
    let reason_name = members.text("stopReason").unwrap_or_default();
    Stop {
        reason: stop_reason(&reason_name),
        reason_name,
        additional_model_response_fields: members.json("additionalModelResponseFields").map(json::to_value),
        unrecognized: Map::new(),
    }
}

pub(super) fn metadata(members: &mut Members) -> Metadata {
    let trace = members.map("trace");
    let invoked = trace.as_ref().and_then(|trace| trace.get("promptRouter")?.get("invokedModelId")?.as_str());
    Metadata {
        invocation_usage: None,
        invoked_model_id: invoked.unwrap_or_default().to_owned(),
        usage: members.object("usage", |usage| Some(token_usage(usage))),
        metrics: members.object("metrics", |metrics| {
            Some(ConverseStreamMetrics { latency_ms: metrics.int32("latencyMs"), first_byte_latency_ms: None })
        }),
        performance_config: members
            .object("performanceConfig", |config| Some(PerformanceConfiguration { latency: config.text("latency")? })),
        service_tier: members.object("serviceTier", |tier| Some(ServiceTier { r#type: tier.text("type")? })),
        trace: trace.map(json::to_struct),
        unrecognized: Map::new(),
    }
}

fn token_usage(usage: &mut Members) -> TokenUsage {
    TokenUsage {
        input_tokens: usage.int32("inputTokens"),
        output_tokens: usage.int32("outputTokens"),
        total_tokens: usage.int32("totalTokens"),
        cache_read_input_tokens: usage.int32("cacheReadInputTokens"),
        cache_write_input_tokens: usage.int32("cacheWriteInputTokens"),
        cache_details: usage
            .list("cacheDetails", |detail| CacheDetail {
                ttl: detail.text("ttl").unwrap_or_default(),
                input_tokens: detail.int32("inputTokens"),
            })
            .unwrap_or_default(),
        source: UsageSource::Converse.into(),
    }
}

/// Combines both events. `guardrail_intervened` replaces the stop reason.
pub(super) fn combine(stop: Stop, metadata: Metadata, guardrail_intervened: bool) -> Ending {
    let unrecognized = unrecognized([("messageStop", stop.unrecognized), ("metadata", metadata.unrecognized)]);
    let finish = Finish {
        stop_reason: if guardrail_intervened { StopReason::GuardrailIntervened } else { stop.reason }.into(),
        stop_reason_name: stop.reason_name,
        usage: metadata.usage,
        metrics: metadata.metrics,
        trace: metadata.trace,
        additional_model_response_fields: stop.additional_model_response_fields,
        service_tier: metadata.service_tier,
        performance_config: metadata.performance_config,
        invoked_model_id: metadata.invoked_model_id,
        invocation_usage: metadata.invocation_usage,
        conversation_revision: None,
        quota_tokens_charged: None,
        cost_micros: None,
        message: None,
    };
    Ending { finish, unrecognized }
}

pub(super) fn stop_reason(name: &str) -> StopReason {
    match name {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        GUARDRAIL_INTERVENED => StopReason::GuardrailIntervened,
        "content_filtered" => StopReason::ContentFiltered,
        "malformed_model_output" => StopReason::MalformedModelOutput,
        "malformed_tool_use" => StopReason::MalformedToolUse,
        "model_context_window_exceeded" => StopReason::ModelContextWindowExceeded,
        _ => StopReason::Unspecified,
    }
}
