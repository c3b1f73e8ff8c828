//! The trace of the caller: continued by the spans and at Bedrock, sampled as the caller says.

use outcrop_client::proto::CountTokensRequest;
use prost::Message;

use super::{ATTEMPT, CALL, Collector, PARENT, PATH, TRACE, call, collector::of, flushed, hex, is_below, observed};
use crate::{
    callers::{Protocol, Wire},
    harness::{Harness, request},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_caller_goes_on_at_bedrock() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |_| {}).await;
    let headers = [("traceparent", PARENT), ("tracestate", "vendor=1"), ("baggage", "secret=swordfish")];
    call(&harness, "emulator.default", &headers).await;
    let upstream = harness.emulator.last_request().unwrap().headers;
    harness
        .client
        .count_tokens(CountTokensRequest {
            model: "emulator.default".to_owned(),
            prompt: "hi".to_owned(),
            ..CountTokensRequest::default()
        })
        .await
        .unwrap();
    let counted = harness.emulator.last_request().unwrap().headers;
    flushed(harness).await;
    let server = &collector.named(CALL)[0];
    assert_eq!((hex(&server.trace_id), hex(&server.parent_span_id)), (TRACE.to_owned(), "b7ad6b7169203331".to_owned()));
    let attempt = &collector.named(ATTEMPT)[0];
    assert_eq!(upstream["traceparent"], format!("00-{TRACE}-{}-01", hex(&attempt.span_id)));
    assert_eq!(upstream["tracestate"], "vendor=1");
    assert!(!upstream.contains_key("baggage"), "{upstream:?}");
    let count = &collector.named("BedrockRuntime.CountTokens")[0];
    assert!(is_below(count, &collector.named("outcrop.v1.GenerationService/CountTokens")[0]));
    assert_eq!(counted["traceparent"], format!("00-{}-{}-01", hex(&count.trace_id), hex(&count.span_id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_grpc_web_has_the_same_spans() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |_| {}).await;
    let wire = Wire::to(&harness.endpoint);
    let message = request("emulator.default").encode_to_vec();
    for protocol in [Protocol::WebOverHttp2, Protocol::WebOverHttp1] {
        wire.call(protocol, PATH, &message, &[("traceparent", PARENT)]).await;
    }
    flushed(harness).await;
    let servers = collector.named(CALL);
    assert_eq!((servers.len(), collector.named(ATTEMPT).len()), (2, 2));
    for server in &servers {
        let attributes = of(server);
        assert_eq!((hex(&server.trace_id).as_str(), attributes["rpc.status_code"].as_str()), (TRACE, "OK"));
        assert_eq!(attributes["server.address"], "127.0.0.1", "{attributes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_trace_of_the_caller_is_passed_on_unchanged() {
    let harness = Harness::start().await;
    call(&harness, "emulator.default", &[("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "b=2")]).await;
    let upstream = harness.emulator.last_request().unwrap().headers;
    assert_eq!((upstream["traceparent"].as_str(), upstream["tracestate"].as_str()), (PARENT, "a=1"));
    assert!(!upstream.contains_key("baggage"));
    call(&harness, "emulator.default", &[("traceparent", "00-nonsense")]).await;
    let upstream = harness.emulator.last_request().unwrap().headers;
    assert!(!upstream.contains_key("traceparent"), "{upstream:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_sampled_is_passed_on_and_not_sent() {
    let collector = Collector::start().await;
    let harness = observed(&collector, |settings| {
        settings.otlp.as_mut().unwrap().sample_ratio = Some(0.0);
    })
    .await;
    call(&harness, "emulator.default", &[]).await;
    let own = harness.emulator.last_request().unwrap().headers["traceparent"].clone();
    assert!(own.ends_with("-00"), "{own}");
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    call(&harness, "emulator.default", &[("traceparent", &unsampled)]).await;
    let continued = harness.emulator.last_request().unwrap().headers["traceparent"].clone();
    assert!(continued.starts_with(&format!("00-{TRACE}-")) && continued.ends_with("-00"), "{continued}");
    // The caller decides.
    call(&harness, "emulator.default", &[("traceparent", PARENT)]).await;
    flushed(harness).await;
    let traces: Vec<_> = collector.spans().iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces, [TRACE; 3]);
}
