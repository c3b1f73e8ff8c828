//! What each feature of the server costs that an operator can switch on: each alone, and all of them.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Failure,
    figures::{Figure, Figures},
    operated::{Features, Operated},
    rows::{IN_TURN, PACED_200, Row},
    run::{Bench, Side},
};

/// The settings.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The program of the server, a release build
    #[arg(long, default_value = "target/release/outcrop")]
    program: PathBuf,
    /// The number of rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round with few and short streams, to see that everything works
    #[arg(long)]
    brief: bool,
}

/// A row of the table, and what its rounds took.
struct Line {
    name: &'static str,
    features: Features,
    call: Figures,
    chunk: Figures,
}

const OFF: Features = Features {
    identity: false,
    budget: false,
    quota: false,
    metrics: false,
    collector: false,
    log: false,
    audit: false,
    tls: false,
};

const SWITCHED_ON: [(&str, Features); 11] = [
    ("nothing", OFF),
    ("a caller with an API key and limits", Features { identity: true, ..OFF }),
    ("the same with a budget and prices", Features { budget: true, ..OFF }),
    ("quotas of the models", Features { quota: true, ..OFF }),
    ("metrics", Features { metrics: true, ..OFF }),
    ("a collector, for metrics and 1 % of the traces", Features { collector: true, ..OFF }),
    ("the log at `info`, to a file", Features { log: true, ..OFF }),
    ("the audit log", Features { audit: true, ..OFF }),
    ("TLS to callers", Features { tls: true, ..OFF }),
    ("all but TLS and the audit log", Features::OPERATED),
    ("all", Features { audit: true, tls: true, ..Features::OPERATED }),
];

/// Runs the rounds, and prints a line of a table for each feature.
///
/// # Errors
/// If the server does not run, or a stream has not the texts of the emulator.
pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let rounds = if settings.brief { 1 } else { settings.rounds };
    let bench = Bench { operated: Operated::new(&settings.program)?, workers: None, is_brief: settings.brief };
    let line = |(name, features)| Line { name, features, call: Figures::default(), chunk: Figures::default() };
    let mut lines = SWITCHED_ON.map(line);
    for round in 0..rounds {
        let mut order: Vec<_> = lines.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for line in order {
            line.call.add(one(&bench, IN_TURN, line.features, Figure::Call).await?);
            line.chunk.add(one(&bench, PACED_200, line.features, Figure::Chunk).await?);
        }
    }
    println!(
        "Medians of {rounds} rounds; the ratio of each round to that without features, its median and (least to most).\n"
    );
    println!("| switched on | {} | | {}, {} | |", Figure::Call, Figure::Chunk, PACED_200.name);
    println!("|---|---|---|---|---|");
    let [nothing, ..] = &lines;
    for Line { name, call, chunk, .. } in &lines {
        let [of_call, of_chunk] = [call.ratio_to(&nothing.call), chunk.ratio_to(&nothing.chunk)];
        let [call, chunk] = [Figure::Call.with_unit(call.median()), Figure::Chunk.with_unit(chunk.median())];
        println!("| {name} | {call} | {of_call} | {chunk} | {of_chunk} |");
    }
    Ok(())
}

async fn one(bench: &Bench, row: Row, features: Features, figure: Figure) -> Result<f64, Failure> {
    let run = bench.run(row, Side::Outcrop, features).await.map_err(|error| format!("{features:?}: {error}"))?;
    Ok(run.and_then(|run| run.measured.get(figure)).unwrap_or(f64::NAN))
}
