//! The spans of a call: a SERVER span, under it a CLIENT span of the inference, and under that one for every attempt.
//!
//! The spans are in a subscriber of their own, and not in that of the log: the filter of the log does not change them, and neither log lines
//! nor spans of libraries, which can have prompts and credentials, can get into them. `tracing` knows no parents of these spans, because its
//! registry looks for a parent in the subscriber of the thread; OpenTelemetry knows them.

use std::{fmt, time::Duration};

use http::{Request, header::HOST, uri::Authority};
use opentelemetry::{
    Array, Context, KeyValue, StringValue, Value,
    trace::{Status as SpanStatus, TraceContextExt},
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Dispatch, Span, dispatcher::with_default, info_span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Registry, filter::Targets, layer::SubscriberExt};

use super::{
    attributes::{
        AWS_REQUEST_ID, BEDROCK, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, CALLER, CHAT, CLIENT_ADDRESS, ERROR_TYPE,
        FINISH_REASONS, FIRST_CHUNK, GENERATION_ID, HTTP_STATUS, INPUT_TOKENS, OPERATION, OUTPUT_TOKENS, PROVIDER,
        REASON, REGION, REQUEST_MODEL, RESEND_COUNT, RESPONSE_ID, RESPONSE_MODEL, RPC_METHOD, RPC_METHOD_ORIGINAL,
        RPC_STATUS, RPC_SYSTEM, SERVER_ADDRESS, SERVER_PORT, Status, TARGET_MODEL, bounded, method, text,
    },
    request::{self, Asked, Operation},
    seconds,
};
use crate::{error::Reason, outcome::CallSummary, proto::Attempt};

/// The target of all spans here.
const TARGET: &str = "outcrop::spans";

/// Makes spans. Clones share the subscriber.
#[derive(Clone)]
pub(super) struct Tracing(Dispatch);

/// The spans of a call whose trace is sampled.
#[derive(Debug)]
pub(super) struct CallSpans {
    tracing: Tracing,
    server: OpenSpan,
    operation: Operation,
    model: String,
    /// The attributes of the request, until the inference begins.
    asked: Option<Vec<KeyValue>>,
    inference: Option<OpenSpan>,
    attempt: Option<OpenSpan>,
    attempts: i64,
}

/// A span that has begun. It ends when it is dropped.
#[derive(Debug)]
struct OpenSpan {
    span: Span,
    context: Context,
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracing")
    }
}

impl Tracing {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        // So that `tracing` does not even ask this subscriber about anything else.
        let own = Targets::new().with_target(TARGET, LevelFilter::INFO);
        Self(Dispatch::new(Registry::default().with(own).with(spans)))
    }

    /// Begins the spans of a call in the trace of its caller, or in one of its own. If the trace is not recorded, its context alone is kept.
    pub(super) fn begin(
        &self,
        request: &Request<impl Sized>,
        path: Option<&str>,
        generation_id: &str,
        remote: &Context,
    ) -> Result<CallSpans, Context> {
        let name = method(path);
        let attributes = || {
            let mut attributes = vec![
                KeyValue::new(RPC_SYSTEM, "grpc"),
                KeyValue::new(RPC_METHOD, name.to_owned()),
                KeyValue::new(GENERATION_ID, text(generation_id)),
            ];
            if path.is_none() {
                attributes.push(KeyValue::new(RPC_METHOD_ORIGINAL, text(request.uri().path().trim_start_matches('/'))));
            }
            if let Some(authority) = authority(request) {
                attributes.push(KeyValue::new(SERVER_ADDRESS, text(authority.host())));
                attributes.extend(authority.port_u16().map(|port| KeyValue::new(SERVER_PORT, i64::from(port))));
            }
            attributes
        };
        // A name that a caller chooses would be another one for every call.
        let server = self.open(if path.is_some() { name } else { "grpc" }, "server", remote, attributes);
        let span = server.context.span();
        if !span.is_recording() {
            return Err(Context::new().with_remote_span_context(span.span_context().clone()));
        }
        Ok(CallSpans {
            tracing: self.clone(),
            server,
            operation: Operation::TokenCount,
            model: String::new(),
            asked: None,
            inference: None,
            attempt: None,
            attempts: 0,
        })
    }

    fn open(
        &self,
        name: &str,
        kind: &'static str,
        parent: &Context,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> OpenSpan {
        let span = with_default(
            &self.0,
            || info_span!(target: TARGET, parent: None, "span", otel.name = name, otel.kind = kind),
        );
        // Fails only if the subscriber has no layer for it.
        let _ = span.set_parent(parent.clone());
        // It begins now, and is sampled or not, by its trace alone.
        let context = span.context();
        if context.span().is_recording() {
            for KeyValue { key, value, .. } in attributes() {
                span.set_attribute(key, value);
            }
        }
        OpenSpan { span, context }
    }
}

impl OpenSpan {
    fn set(&self, name: &'static str, value: impl Into<Value>) {
        self.span.set_attribute(name, value);
    }

    fn fail(&self, error_type: &'static str) {
        self.set(ERROR_TYPE, error_type);
        self.span.set_status(SpanStatus::error(error_type));
    }
}

impl CallSpans {
    pub(super) fn trace_id(&self) -> String {
        self.server.context.span().span_context().trace_id().to_string()
    }

    /// The trace below which Bedrock continues.
    pub(super) fn innermost(&self) -> &Context {
        let innermost = self.attempt.as_ref().or(self.inference.as_ref()).unwrap_or(&self.server);
        &innermost.context
    }

    pub(super) fn came_from(&mut self, client: &str) {
        self.server.set(CLIENT_ADDRESS, text(client));
    }

    pub(super) fn identified(&mut self, caller: &str) {
        self.server.set(CALLER, text(caller));
    }

    pub(super) fn requested(&mut self, model: &str, asked: Asked<'_>) {
        self.operation = Operation::of(asked);
        model.clone_into(&mut self.model);
        self.asked = match asked {
            Asked::Generation(request) => Some(request::attributes(request)),
            Asked::Relayed(operation) => Some(vec![KeyValue::new("gen_ai.request.stream", !operation.is_whole())]),
            Asked::TokenCount => None,
        };
    }

    pub(super) fn attempt_begun(&mut self, attempt: &Attempt) {
        if let Some(asked) = self.asked.take() {
            let mut attributes = vec![
                KeyValue::new(OPERATION, CHAT),
                KeyValue::new(PROVIDER, BEDROCK),
                KeyValue::new(REQUEST_MODEL, text(&self.model)),
            ];
            attributes.extend(asked);
            let name = format!("{CHAT} {}", bounded(&self.model));
            self.inference = Some(self.tracing.open(&name, "client", &self.server.context, || attributes));
        }
        let parent = self.inference.as_ref().unwrap_or(&self.server);
        let operation = self.operation.at(&attempt.model_id);
        let mut attributes = vec![
            KeyValue::new(RPC_SYSTEM, "aws-api"),
            KeyValue::new(RPC_METHOD, format!("BedrockRuntime/{operation}")),
            KeyValue::new(REGION, text(&attempt.region)),
            KeyValue::new(TARGET_MODEL, text(&attempt.model_id)),
        ];
        attributes.extend((self.attempts > 0).then(|| KeyValue::new(RESEND_COUNT, self.attempts)));
        let name = format!("BedrockRuntime.{operation}");
        self.attempt = Some(self.tracing.open(&name, "client", &parent.context, || attributes));
        self.attempts += 1;
    }

    pub(super) fn responded(&mut self, http_status: u16, request_id: &str) {
        if let Some(attempt) = &self.attempt {
            attempt.set(HTTP_STATUS, i64::from(http_status));
            if !request_id.is_empty() {
                attempt.set(AWS_REQUEST_ID, text(request_id));
            }
        }
    }

    pub(super) fn attempt_failed(&mut self, reason: Reason) {
        if let Some(attempt) = self.attempt.take() {
            attempt.fail(reason.name());
        }
    }

    /// Records the first content, this long after the first attempt.
    pub(super) fn answered(&mut self, after: Duration) {
        if let Some(inference) = &self.inference {
            inference.set(FIRST_CHUNK, seconds(after));
        }
    }

    /// Ends all spans, the innermost first.
    pub(super) fn end(self, summary: &CallSummary<'_>, status: &Status) {
        let Self { server, inference, attempt, .. } = self;
        if let (Some(attempt), Some(reason)) = (&attempt, status.reason) {
            attempt.fail(reason);
        }
        drop(attempt);
        if let Some(inference) = inference {
            describe(&inference, summary, status);
        }
        server.set(RPC_STATUS, status.code);
        if status.is_fault {
            server.fail(status.code);
        }
        if let Some(reason) = status.reason {
            server.set(REASON, reason);
        }
    }
}

/// The address that the caller used. HTTP/1.1, of gRPC-Web, has it in a header.
fn authority(request: &Request<impl Sized>) -> Option<Authority> {
    let in_header = || request.headers().get(HOST)?.to_str().ok()?.parse().ok();
    request.uri().authority().cloned().or_else(in_header)
}

/// Adds what is known at the end of an inference.
fn describe(inference: &OpenSpan, summary: &CallSummary<'_>, status: &Status) {
    let CallSummary { attempts, first_content, used, stop_reason, .. } = summary;
    if first_content.is_some() {
        inference.set(RESPONSE_MODEL, text(&attempts.model_id));
    }
    if !attempts.request_id.is_empty() {
        inference.set(RESPONSE_ID, text(&attempts.request_id));
    }
    if let Some(used) = used {
        inference.set(INPUT_TOKENS, i64::from(used.input));
        inference.set(OUTPUT_TOKENS, i64::from(used.output));
        inference.set(CACHE_READ_TOKENS, i64::from(used.cache_read));
        inference.set(CACHE_WRITE_TOKENS, i64::from(used.cache_write));
    }
    // An answer without its end ended abnormally.
    let finish = if status.reason.is_some() || status.is_left { Some("error") } else { *stop_reason };
    if let Some(finish) = finish {
        inference.set(FINISH_REASONS, Value::Array(Array::from(vec![StringValue::from(finish.to_owned())])));
    }
    if let Some(reason) = status.reason {
        inference.fail(reason);
    }
}
