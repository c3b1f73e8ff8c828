//! The Bedrock API of the server beside a proxy that forwards bytes: processor time of a chunk.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    Failure,
    figures::Figures,
    load::{Expected, Load},
    operated::{Features, Operated},
    process::{Program, part},
    upstream::{Answer, FLAT_OUT, LONG, PACED, Upstream},
};

/// The settings of the workload.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The program of the server, a release build
    #[arg(long, default_value = "target/release/outcrop")]
    program: PathBuf,
    /// The number of rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Run only the rows whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

/// A row of the table.
struct Row {
    name: &'static str,
    answer: Answer,
    streams: usize,
    over_h2: bool,
}

const ROWS: [Row; 6] = [
    Row { name: "20 streams, a chunk each 20 ms", answer: PACED, streams: 20, over_h2: false },
    Row { name: "200 streams, a chunk each 20 ms", answer: PACED, streams: 200, over_h2: false },
    Row { name: "1 stream flat out", answer: LONG, streams: 1, over_h2: false },
    Row { name: "32 streams flat out", answer: FLAT_OUT, streams: 32, over_h2: false },
    Row { name: "200 streams, a chunk each 20 ms, callers on HTTP/2", answer: PACED, streams: 200, over_h2: true },
    Row { name: "32 streams flat out, callers on HTTP/2", answer: FLAT_OUT, streams: 32, over_h2: true },
];

/// Runs the rows, and prints a line for each.
///
/// # Errors
/// If a program does not run, or a stream has not the bytes of the emulator.
pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let emulator = Upstream::start(None, false)?;
    let proxy = Program::start(part("byte-proxy")?.arg(emulator.program.address.to_string()))?;
    let operated = Operated::new(&settings.program)?;
    let server = operated.start(Features::OPERATED, &emulator)?;
    println!("processor time of a chunk, medians of {} rounds; ratio of each round (least to most)", settings.rounds);
    println!("{:<52} {:>12} {:>10} {:>22}", "", "byte proxy", "Outcrop", "ratio");
    for row in ROWS.iter().filter(|row| row.name.contains(&settings.only)) {
        let model = row.answer.model();
        let expected = Expected::of(emulator.program.address, &model).await?;
        let (mut of_proxy, mut of_server) = (Figures::default(), Figures::default());
        for round in 0..settings.rounds {
            let mut sides = [(&proxy, &mut of_proxy), (&server, &mut of_server)];
            if round % 2 == 1 {
                sides.reverse();
            }
            for (program, figures) in sides {
                let (key, model) = (operated.key.clone(), model.clone());
                let load = Load { to: program.address, key, model, streams: row.streams, over_h2: row.over_h2 };
                figures.add(of_a_chunk(program, &load, &expected, row.answer.is_paced()).await?);
            }
        }
        let ratio = of_server.ratio_to(&of_proxy).to_string();
        let (of_proxy, of_server) = (of_proxy.median(), of_server.median());
        println!("{:<52} {of_proxy:>9.2} µs {of_server:>7.2} µs {ratio:>22}", row.name);
    }
    Ok(())
}

/// The processor time of a chunk in microseconds: of paced streams while all run, of others from their beginning to their end.
async fn of_a_chunk(program: &Program, load: &Load, expected: &Arc<Expected>, is_paced: bool) -> Result<f64, Failure> {
    let begun = program.processor_time()?;
    let mut running = load.start(expected).await?;
    let (taken, chunks) = if is_paced {
        let (before, chunks_before) = (program.processor_time()?, running.chunks());
        running.first_end().await?;
        let (after, chunks_after) = (program.processor_time()?, running.chunks());
        running.end().await?;
        (after.saturating_sub(before), chunks_after.saturating_sub(chunks_before))
    } else {
        running.end().await?;
        (program.processor_time()?.saturating_sub(begun), load.streams * expected.frames())
    };
    Ok(taken.as_secs_f64() * 1e6 / f64::from(u32::try_from(chunks)?))
}
