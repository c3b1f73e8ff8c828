//! A collector that hangs or is gone costs spans, and nothing else.

use bedrock_emulator::Script;
use outcrop::telemetry::otlp::settings::OtlpSettings;
use tokio::{net::TcpSocket, task::JoinSet};

use super::{Collector, flushed, observed};
use crate::harness::{Harness, collect, request, soon};

/// Calls with more spans than may wait for a collector.
const CALLS: usize = 1_000;

/// Makes so many calls, 50 at a time.
async fn many_calls(harness: &Harness, model: &str) {
    let mut running = JoinSet::new();
    for begun in 0..CALLS {
        if begun >= 50 {
            soon(running.join_next()).await.unwrap().unwrap();
        }
        let (client, model) = (harness.client.clone(), model.to_owned());
        running.spawn(async move { collect(client.generate(request(&model)).await.unwrap()).await.result.unwrap() });
    }
    soon(running.join_all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_neither_calls_nor_the_shutdown() {
    let collector = Collector::hanging().await;
    let mut harness = observed(&collector, |settings| {
        settings.otlp.as_mut().unwrap().timeout = OtlpSettings::MAX_TIMEOUT;
    })
    .await;
    let model = harness.emulator.register("tiny", Script::reply("a"));
    many_calls(&harness, &model).await;
    soon(collector.is_asked()).await;
    let dropped = || harness.count("telemetry_spans_dropped_total", &["queue_full"]);
    // Three spans a call, of which 2048 may wait.
    harness.counted("telemetry_spans_dropped_total", &["queue_full"], 3 * CALLS as u64 - 2048).await;
    assert_eq!(dropped(), 3 * CALLS as u64 - 2048, "and no more are in memory");
    harness.begin_shutdown();
    harness.ended().await;
    let lost = harness.count("telemetry_spans_dropped_total", &[]);
    assert_eq!(lost, 3 * CALLS as u64, "what the collector did not take is counted too");
    assert_eq!(collector.spans().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_the_spans_alone() {
    // Bound, so that no other test listens there, and nothing listens.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", taken.local_addr().unwrap());
    let mut harness = Harness::with(|settings| settings.otlp = Some(OtlpSettings::to(endpoint))).await;
    let model = harness.emulator.register("tiny", Script::reply("a"));
    many_calls(&harness, &model).await;
    harness.begin_shutdown();
    harness.ended().await;
    assert_eq!(harness.count("telemetry_spans_dropped_total", &[]), 3 * CALLS as u64);
    assert!(harness.count("telemetry_exports_failed_total", &["metrics"]) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_the_spans_from_then_on() {
    let first = Collector::start().await;
    let (endpoint, address) = (first.endpoint(), first.address);
    drop(first);
    let harness = Harness::with(|settings| settings.otlp = Some(OtlpSettings::to(endpoint))).await;
    harness.ask(request("emulator.default")).await.whole();
    // It is tried again a few times, and then the spans are lost.
    harness.counted("telemetry_spans_dropped_total", &["export_failed"], 3).await;
    let second = Collector::again(address).await;
    harness.ask(request("emulator.default")).await.whole();
    flushed(harness).await;
    assert_eq!(second.spans().len(), 3);
    assert!(!second.metrics().is_empty());
}
