//! How long it takes from a caller leaving until Bedrock sees its request closed: caller -> gRPC -> server -> SDK -> emulator.
//!
//! Run with `cargo bench --bench cancellation`. One caller at a time leaves in the middle of its stream, while as many others as are
//! said (the second column) go on with theirs.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark says what it measured, or fails")]

use std::{
    future::pending,
    time::{Duration, Instant},
};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop::{app::App, bedrock::Bedrock, config::Settings};
use outcrop_client::{Chunks, Client, proto::GenerateRequest};
use tokio::task::JoinSet;

/// How often a caller leaves.
const TIMES: usize = 1_000;

#[tokio::main]
async fn main() {
    let settings = Settings::local();
    let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
    // A first text at once, and then one for each tenth of a second.
    let ticks = Step::Repeat { times: usize::MAX, steps: vec![Step::WaitMs(100), Step::text("tick ")] };
    emulator.register("ticking", Script::of([Step::text("first "), ticks]));
    let bedrock = Bedrock::emulated(&emulator.endpoint(), settings.max_connect()).unwrap();
    let app = App::build(&settings, bedrock).await.unwrap();
    let client = Client::connect(&format!("http://{}", app.address())).await.unwrap();
    let mut server = JoinSet::new();
    server.spawn(app.run(pending(), pending()));
    println!("{:>8} {:>8} {:>10} {:>10} {:>10} {:>10}", "left", "others", "p50", "p90", "p99", "max");
    for others in [0, 100] {
        let mut running = JoinSet::new();
        for _ in 0..others {
            let mut chunks = open(&client).await;
            running.spawn(async move { while chunks.next().await.unwrap().is_some() {} });
        }
        let mut took = Vec::new();
        for _ in 0..TIMES {
            took.push(leave(&emulator, open(&client).await).await);
        }
        took.sort();
        let at = |percent: usize| format!("{:.2?}", took[(took.len() - 1) * percent / 100]);
        println!("{TIMES:>8} {others:>8} {:>10} {:>10} {:>10} {:>10}", at(50), at(90), at(99), at(100));
        running.shutdown().await;
    }
}

/// A stream that has brought its first text.
async fn open(client: &Client) -> Chunks {
    let request =
        GenerateRequest { model: "emulator.ticking".to_owned(), prompt: "hi".to_owned(), ..GenerateRequest::default() };
    let mut chunks = Box::pin(client.generate(request)).await.unwrap();
    chunks.next().await.unwrap();
    chunks
}

async fn leave(emulator: &Emulator, chunks: Chunks) -> Duration {
    let before = emulator.stats().abandoned;
    let left = Instant::now();
    drop(chunks);
    emulator.wait_until(|stats| stats.abandoned > before).await;
    left.elapsed()
}
