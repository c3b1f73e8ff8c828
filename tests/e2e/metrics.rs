//! What the metrics tell of real traffic, and the probes beside them.

use std::{net::SocketAddr, time::Duration};

use bedrock_emulator::{Script, Step};
use outcrop::failover::routes::Routes;
use outcrop_client::proto::GenerateRequest;
use tokio::time::sleep;

use crate::{
    harness::{Harness, request, soon},
    process::Serving,
};

/// The status and the body of a page on the port for metrics.
async fn page(at: SocketAddr, path: &str, accept: &str) -> (u16, String) {
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = http::Request::get(format!("http://{at}{path}")).header("accept", accept);
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let answer = http.request(request.body(body).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_with_the_shutdown_and_the_process_stays_live() {
    let mut serving = Serving::start(&["--metrics-listen", "127.0.0.1:0", "--lame-duck", "2s", "--grace", "1s"]);
    let at = serving.metrics.unwrap();
    assert_eq!(page(at, "/livez", "*/*").await, (200, "live\n".to_owned()));
    assert_eq!(page(at, "/readyz", "*/*").await, (200, "ready\n".to_owned()));
    serving.signal("-TERM");
    let drained = soon(async {
        loop {
            match page(at, "/readyz", "*/*").await {
                (200, _) => sleep(Duration::from_millis(5)).await,
                other => return other,
            }
        }
    });
    assert_eq!(drained.await, (503, "not ready: the server shuts down\n".to_owned()));
    assert_eq!(page(at, "/livez", "*/*").await.0, 200, "a restart would cut the streams");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_plain_text_gets_prometheus_own_format() {
    let harness = Harness::with(|settings| settings.metrics_listen = Some(([127, 0, 0, 1], 0).into())).await;
    let at = harness.metrics_address.unwrap();
    let (status, plain) = page(at, "/metrics", "text/plain").await;
    assert!(status == 200 && plain.contains("# TYPE outcrop_config_reloads_failed_total counter\n"), "{plain}");
    let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for accept in [of_prometheus, "*/*"] {
        assert!(page(at, "/metrics", accept).await.1.ends_with("# EOF\n"), "{accept}");
    }
}

/// A route over two regions, and one attempt each.
async fn routed() -> Harness {
    Harness::with(|settings| {
        let route = "smart=emulator.first,emulator.second@us-west-2".to_owned();
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        settings.attempts = 2;
    })
    .await
}

#[tokio::test]
async fn a_failover_is_counted_under_the_name_of_its_route() {
    let harness = routed().await;
    harness.emulator.register("first", Script::refuse(429, "ThrottlingException", "no"));
    harness.emulator.register_in("second", "us-west-2", [Script::reply("one two three")]);
    harness.ask(request("smart")).await.whole();
    let smart = "model=\"smart\"";
    for (name, labels) in [
        ("calls_total", &["method=\"Generate\"", "outcome=\"finished\""][..]),
        ("attempts_total", &[smart, "region=\"us-east-1\"", "outcome=\"BEDROCK_THROTTLED\""]),
        ("attempts_total", &[smart, "region=\"us-west-2\"", "outcome=\"ANSWERED\""]),
        ("attempt_first_content_seconds_count", &[smart, "region=\"us-west-2\""]),
        ("first_content_seconds_count", &[smart]),
        ("stream_duration_seconds_count", &[smart, "outcome=\"finished\""]),
        ("retries_total", &["kind=\"failover\""]),
        ("circuit_breaker_state", &["target=\"emulator.first\"", "state=\"closed\""]),
        ("overhead_seconds_count", &[]),
        ("upstream_connect_seconds_count", &["outcome=\"connected\""]),
    ] {
        assert!(harness.count(name, labels) > 0, "{name} {labels:?}");
    }
    assert!(harness.count("tokens_total", &[smart, "kind=\"output\""]) > 0);
    assert!(harness.count("chunk_gap_seconds_count", &[smart]) > 1);
    assert_eq!(harness.count("model_streams_running", &[smart]), 0);
}

#[tokio::test]
async fn what_abandoned_calls_use_is_counted_as_spent_for_nothing() {
    let harness = Harness::start().await;
    let steps = [Step::message_start(), Step::text("a"), Step::WaitMs(300), Step::message_stop("end_turn")];
    let metadata = Step::metadata(7, 11);
    let model = harness.emulator.register("left", Script::of(steps.into_iter().chain([metadata])));
    let mut drained = request(&model);
    drained.set_abandonment_mode(outcrop_client::proto::AbandonmentMode::Drain);
    drop(soon(harness.client.generate(drained)).await.unwrap());
    harness.counted("abandoned_tokens_total", &["model=\"other\"", "kind=\"output\""], 11).await;
    assert_eq!(harness.count("abandoned_tokens_total", &["kind=\"input\""]), 7);
    assert_eq!(harness.count("tokens_total", &["kind=\"input\""]), 7, "they are part of all tokens");
}

#[tokio::test]
async fn a_failure_a_refusal_and_the_limits_are_counted() {
    let harness = Harness::with(|settings| {
        settings.attempts = 1;
        settings.rules.default_model = Some("emulator.default".to_owned());
        settings.limits.streams = 7;
    })
    .await;
    harness.ask(request("emulator.exception")).await.failed();
    let (_, refused) = harness.ask(GenerateRequest::default()).await.failed();
    assert_eq!(refused.reason, "INVALID_REQUEST");
    assert_eq!(harness.count("stream_duration_seconds_count", &["outcome=\"failed\""]), 1);
    assert_eq!(harness.count("calls_refused_total", &["model=\"\"", "reason=\"INVALID_REQUEST\""]), 1);
    assert_eq!(harness.count("calls_total", &["method=\"Generate\"", "outcome=\"refused\""]), 1);
    assert_eq!(harness.count("streams_limit", &["limit=\"server\""]), 7);
}
