//! Traces and metrics by OTLP: what a collector receives, and what it cannot do to calls.

mod collector;
mod outage;
mod trace_context;

use bedrock_emulator::{Script, Step};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use outcrop::{
    config::Settings,
    failover::routes::Routes,
    identity::settings::IdentitySettings,
    telemetry::otlp::settings::{Header, OtlpSettings},
};
use outcrop_client::proto::{GenerateRequest, InferenceConfiguration};
use prost::Message;

use self::collector::{Collector, kind, of, total};
use crate::{
    callers::{Answer, Caller, Protocol, Wire},
    harness::{Harness, request, soon},
};

const PATH: &str = "/outcrop.v1.GenerationService/Generate";
const CALL: &str = "outcrop.v1.GenerationService/Generate";
const ATTEMPT: &str = "BedrockRuntime.ConverseStream";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn observed(collector: &Collector, change: impl FnOnce(&mut Settings)) -> Harness {
    Harness::with(|settings| {
        settings.otlp = Some(OtlpSettings::to(collector.endpoint()));
        change(settings);
    })
    .await
}

/// Ends the server, which sends what waits.
async fn flushed(mut harness: Harness) {
    harness.begin_shutdown();
    harness.ended().await;
}

/// A call with these headers.
async fn call(harness: &Harness, model: &str, headers: &[(&str, &str)]) -> Answer {
    Wire::to(&harness.endpoint).call(Protocol::Grpc, PATH, &request(model).encode_to_vec(), headers).await
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn is_below(child: &Span, parent: &Span) -> bool {
    child.trace_id == parent.trace_id && child.parent_span_id == parent.span_id
}

fn code(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(StatusCode::Unset, |status| StatusCode::try_from(status.code).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_server_span_with_an_inference_and_its_attempt() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |_| {}).await;
    let model = harness.emulator.register("observed", Script::reply("swordfish"));
    let inference_config = InferenceConfiguration {
        max_tokens: Some(64),
        temperature: Some(0.1),
        stop_sequences: vec!["END".to_owned()],
        ..InferenceConfiguration::default()
    };
    let asked = GenerateRequest {
        prompt: "what is the password? marlin".to_owned(),
        inference_config: Some(inference_config),
        ..request(&model)
    };
    harness.ask(asked).await.whole();
    flushed(harness).await;
    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    let inference = format!("chat {model}");
    assert_eq!(names, [ATTEMPT, &inference, CALL], "the innermost ends first");
    let [attempt, inference, server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((kind(server), kind(inference), kind(attempt)), (SpanKind::Server, SpanKind::Client, SpanKind::Client));
    assert!(is_below(inference, server) && is_below(attempt, inference) && server.parent_span_id.is_empty());
    assert!(spans.iter().all(|span| code(span) == StatusCode::Unset && span.events.is_empty()));
    let has = |span: &Span, expected: &[(&str, &str)]| {
        let attributes = of(span);
        for (name, value) in expected {
            assert_eq!(attributes.get(*name).map(String::as_str), Some(*value), "{name} in {attributes:?}");
        }
    };
    has(server, &[("rpc.system.name", "grpc"), ("rpc.method", CALL), ("rpc.status_code", "OK")]);
    has(server, &[("server.address", "127.0.0.1"), ("client.address", "127.0.0.1")]);
    assert_eq!(of(server)["outcrop.generation_id"].len(), 36);
    has(inference, &[("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "aws.bedrock")]);
    has(inference, &[("gen_ai.request.model", &model), ("gen_ai.response.model", &model)]);
    has(inference, &[("gen_ai.request.max_tokens", "64"), ("gen_ai.request.temperature", "0.1")]);
    has(inference, &[("gen_ai.request.stop_sequences", "END"), ("gen_ai.request.stream", "true")]);
    has(inference, &[("gen_ai.response.finish_reasons", "end_turn")]);
    assert!(of(inference)["gen_ai.usage.output_tokens"].parse::<u32>().unwrap() > 0);
    assert!(of(inference).contains_key("gen_ai.response.time_to_first_chunk"));
    has(attempt, &[("cloud.region", "us-east-1"), ("http.response.status_code", "200")]);
    has(attempt, &[("outcrop.target.model_id", &model), ("rpc.system.name", "aws-api")]);
    assert_eq!(of(attempt)["aws.request_id"], of(inference)["gen_ai.response.id"]);
    assert_eq!(collector.resource()["service.name"], "outcrop");
    let everything = collector.everything();
    assert!(!everything.contains("swordfish") && !everything.contains("marlin"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_has_a_span_for_every_attempt() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |settings| {
        settings.rules.routes = Routes::parse(&["fast=emulator.first,emulator.second".to_owned()], 3).unwrap();
        settings.attempts = 3;
    })
    .await;
    harness.emulator.register("first", Script::refuse(429, "ThrottlingException", "no"));
    harness.emulator.register("second", Script::reply("here"));
    harness.ask(request("fast")).await.whole();
    flushed(harness).await;
    let attempts = collector.named(ATTEMPT);
    let inference = collector.named("chat fast");
    assert_eq!((attempts.len(), inference.len()), (2, 1));
    assert!(attempts.iter().all(|attempt| is_below(attempt, &inference[0])));
    let (first, second) = (of(&attempts[0]), of(&attempts[1]));
    assert_eq!(first["error.type"], "BEDROCK_THROTTLED");
    assert_eq!((first["http.response.status_code"].as_str(), code(&attempts[0])), ("429", StatusCode::Error));
    assert_eq!((second["http.response.status_code"].as_str(), code(&attempts[1])), ("200", StatusCode::Unset));
    assert_eq!(second["http.request.resend_count"], "1");
    assert!(!first.contains_key("http.request.resend_count"));
    assert_eq!(of(&inference[0])["gen_ai.response.model"], "emulator.second");
    assert_eq!(code(&inference[0]), StatusCode::Unset, "the caller has its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_is_an_error_of_all_three_spans() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |_| {}).await;
    let broken =
        Script::of([Step::message_start(), Step::text("a"), Step::exception("serviceUnavailableException", "no")]);
    harness.play("broken", broken).await.failed();
    flushed(harness).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| code(span) == StatusCode::Error), "{spans:?}");
    let types: Vec<_> = spans.iter().map(|span| of(span)["error.type"].clone()).collect();
    assert_eq!(types, ["BEDROCK_UNAVAILABLE", "BEDROCK_UNAVAILABLE", "UNAVAILABLE"]);
    assert_eq!(of(&spans[1])["gen_ai.response.finish_reasons"], "error");
    assert_eq!(
        (of(&spans[2])["rpc.status_code"].as_str(), of(&spans[2])["outcrop.reason"].as_str()),
        ("UNAVAILABLE", "BEDROCK_UNAVAILABLE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_call_is_cancelled_and_no_error() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |_| {}).await;
    let steps = [Step::message_start(), Step::text("first"), Step::WaitMs(60_000)];
    let model = harness.emulator.register("left", Script::of(steps));
    let mut chunks = harness.client.generate(request(&model)).await.unwrap();
    chunks.next().await.unwrap();
    drop(chunks);
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    flushed(harness).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| code(span) == StatusCode::Unset && !of(span).contains_key("error.type")));
    assert_eq!(of(&spans[2])["rpc.status_code"], "CANCELLED");
    assert_eq!(of(&spans[1])["gen_ai.response.finish_reasons"], "error", "the end of the answer was not received");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_a_server_span_alone() {
    let collector = Collector::start().await;
    let ada = Caller::new("ada");
    let callers = vec![ada.settings];
    let harness = observed(&collector, |settings| {
        settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
    })
    .await;
    let answer = call(&harness, "emulator.default", &[("authorization", "Bearer swordfish")]).await;
    assert_eq!(answer.reason(), "CREDENTIALS_INVALID");
    let authorization = format!("Bearer {}", ada.key);
    let wire = Wire::to(&harness.endpoint);
    let unknown = wire.call(Protocol::Grpc, "/a.B/C", &[], &[("authorization", &authorization)]).await;
    assert_eq!(unknown.reason(), "UNKNOWN_METHOD");
    flushed(harness).await;
    let [refused, unknown] = &collector.spans()[..] else { panic!("two spans") };
    assert_eq!((refused.name.as_str(), code(refused)), (CALL, StatusCode::Unset), "the caller made the error");
    assert_eq!(of(refused)["rpc.status_code"], "UNAUTHENTICATED");
    assert_eq!(of(refused)["outcrop.reason"], "CREDENTIALS_INVALID");
    assert_eq!((unknown.name.as_str(), of(unknown)["rpc.method"].as_str()), ("grpc", "_OTHER"));
    assert_eq!((of(unknown)["rpc.method_original"].as_str(), of(unknown)["outcrop.caller"].as_str()), ("a.B/C", "ada"));
    let everything = collector.everything();
    assert!(!everything.contains("swordfish") && !everything.contains(&ada.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_measured_with_bounded_names_of_models() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |settings| {
        settings.rules.routes = Routes::parse(&["fast=emulator.counted".to_owned()], 3).unwrap();
    })
    .await;
    harness.emulator.register("counted", Script::reply("one answer of several words"));
    let chunks = harness.ask(request("fast")).await.whole();
    harness.play("named-by-a-caller", Script::reply("a")).await.whole();
    harness.play("refuses", Script::refuse(403, "AccessDeniedException", "no")).await.failed();
    flushed(harness).await;
    let metrics = collector.metrics();
    let sum = |name: &str, with: (&str, &str)| total(&metrics, name, with);
    let model = |name: &'static str| ("gen_ai.request.model", name);
    assert_eq!(sum("rpc.server.call.duration", ("rpc.method", CALL)), 3);
    assert_eq!(sum("rpc.server.call.duration", ("rpc.status_code", "PERMISSION_DENIED")), 1);
    assert_eq!(sum("gen_ai.client.inference.duration", model("fast")), 1);
    assert_eq!(sum("gen_ai.client.inference.duration", model("other")), 2);
    assert_eq!(sum("gen_ai.client.inference.duration", ("error.type", "BEDROCK_ACCESS_DENIED")), 1);
    assert_eq!(sum("gen_ai.client.inference.time_to_first_chunk", model("fast")), 1);
    // Neither `start`, the first content nor `finish` follow a chunk.
    let gaps = u64::try_from(chunks.len() - 3).unwrap();
    assert!(gaps > 2, "{chunks:?}");
    assert_eq!(sum("gen_ai.client.inference.time_per_output_chunk", model("fast")), gaps);
    assert!(sum("gen_ai.client.inference.usage.output_tokens", model("fast")) > 0);
    assert!(sum("gen_ai.client.inference.usage.output_tokens", ("gen_ai.token.modality", "unknown")) > 0);
    let units: Vec<_> = metrics.iter().map(|metric| metric.unit.as_str()).collect();
    assert!(units.iter().all(|unit| ["s", "{token}"].contains(unit)), "{units:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_the_file_are_sent() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |settings| {
        settings.otlp.as_mut().unwrap().headers = vec![Header::parse("authorization: Bearer swordfish").unwrap()];
    })
    .await;
    harness.ask(request("emulator.default")).await.whole();
    flushed(harness).await;
    assert_eq!(collector.authorizations(), ["Bearer swordfish"; 2], "of traces and of metrics");
}
