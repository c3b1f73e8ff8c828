//! `bench`: its figures, what it counts, and how it ends early.

use bedrock_emulator::{Config, Script};
use serde_json::Value;

use crate::{
    harness::{Server, run},
    pseudo::Terminal,
};

#[tokio::test]
async fn a_benchmark_has_percentiles_and_counts_failures() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let (out, err, code) = run(server.client(&["bench", "-n", "12", "-c", "3", "hi"]), "").await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("12 complete, 0 failed, 3 at a time, "), "{out}");
    assert_eq!(server.emulator.stats().opened, 12);
    let row = out.lines().find(|line| line.starts_with("time to first content")).unwrap();
    assert!(row.matches(" ms").count() == 3 && row.contains(" - "), "p95 and p99 need more requests: {row}");

    let refused = Script::refuse(429, "ThrottlingException", "slow down");
    let scripts = vec![Script::reply("one two"), refused, Script::reply("one two")];
    let model = server.emulator.register_sequence("some", scripts);
    let (out, _, code) = run(server.client(&["bench", "--json", "-n", "3", "--model", &model, "hi"]), "").await;
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((figures["complete"].as_u64(), figures["failed"]["BEDROCK_THROTTLED"].as_u64()), (Some(2), Some(1)));
    assert!(figures["wholeAnswerSeconds"]["max"].as_f64() >= figures["firstContentSeconds"]["max"].as_f64());
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_benchmark_with_the_figures_so_far() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let model = server.emulator.register_sequence("few", vec![Script::reply("one two")]);
    let arguments = ["bench", "-n", "100000", "-c", "2", "--model", &model, "hi"];
    let mut terminal = Terminal::run(server.client(&arguments));
    terminal.until("/100000").await;
    server.emulator.wait_until(|stats| stats.completed > 3).await;
    terminal.interrupt().await;
    terminal.until("stopped before the end").await;
    assert_eq!(terminal.end().await, Some(130));
}
