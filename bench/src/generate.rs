//! `Generate` of Outcrop beside the bridges, and beside callers that use the AWS SDK themselves.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, getrlimit};

use crate::{
    Failure,
    figures::{Figures, Measured},
    operated::{Features, Operated},
    rows::{ROWS, Row},
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
    /// Run only the rows whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// The number of threads of the runtimes of the bridges [default: the number of cores]
    #[arg(long)]
    workers: Option<usize>,
    /// Run only these programs
    #[arg(long, value_delimiter = ',', default_values_t = SIDES, value_enum)]
    sides: Vec<Side>,
    /// A further argument of `outcrop serve`. Repeatable
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// One round with few and short streams, to see that everything works
    #[arg(long)]
    brief: bool,
}

/// The programs, in the order of the columns.
const SIDES: [Side; 4] = [Side::Direct, Side::Bare, Side::Sdk, Side::Outcrop];

/// The results of a program, round by round. `None` for a row that cannot be run with it.
type Rounds = Vec<Option<Measured>>;

/// Runs the rows, and prints a line of a table for each figure.
///
/// # Errors
/// If a program does not run, or a stream has not the texts of the emulator.
pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    let rounds = if settings.brief { 1 } else { settings.rounds };
    let operated = Operated::new(&settings.program)?.with(settings.serve.clone());
    let bench = Bench { operated, workers: settings.workers, is_brief: settings.brief };
    println!("Medians of {rounds} rounds; the ratio of each round, its median and (least to most).\n");
    println!("| workload | | direct | bare bridge | SDK bridge | Outcrop | Outcrop / bare bridge |");
    println!("|---|---|---|---|---|---|---|");
    let (mut busy, mut impossible) = (Vec::new(), Vec::new());
    let is_wanted = |row: &Row| row.name.contains(&settings.only) && !(settings.brief && row.is_only_larger());
    for row in ROWS.into_iter().filter(is_wanted) {
        let files = row.files(settings.brief);
        if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < files) {
            impossible.push(format!("{} ({files} open files)", row.name));
            print(row, &Default::default());
            continue;
        }
        let mut results: [Rounds; 4] = Default::default();
        for round in 0..rounds {
            let mut sides: Vec<_> = SIDES.into_iter().zip(&mut results).collect();
            if round % 2 == 1 {
                sides.reverse();
            }
            for (side, results) in sides.into_iter().filter(|(side, _)| settings.sides.contains(side)) {
                let run = bench.run(row, side, Features::OPERATED).await;
                let run = run.map_err(|error| format!("{}, {side:?}: {error}", row.name))?;
                if run.as_ref().is_some_and(crate::run::Run::is_load_busy) && busy.last() != Some(&row.name) {
                    busy.push(row.name);
                }
                results.push(run.map(|run| run.measured));
            }
        }
        print(row, &results);
    }
    if !busy.is_empty() {
        println!("\nThe load generator took most of a core, so that times include its own: {}.", busy.join("; "));
    }
    if !impossible.is_empty() {
        println!("\nThe limit of open files is too low, and cannot be raised, for: {}.", impossible.join("; "));
    }
    Ok(())
}

/// Prints the lines of a row.
fn print(row: Row, results: &[Rounds; 4]) {
    for (number, figure) in row.figures.iter().enumerate() {
        let of = |rounds: &Rounds| {
            let mut figures = Figures::default();
            for measured in rounds {
                figures.add(measured.as_ref().and_then(|measured| measured.get(*figure)).unwrap_or(f64::NAN));
            }
            figures
        };
        let [direct, bare, sdk, outcrop] = results.each_ref().map(of);
        let name = if number == 0 { row.name } else { "" };
        let cells = [&direct, &bare, &sdk, &outcrop].map(|figures| figure.with_unit(figures.median()));
        println!("| {name} | {figure} | {} | {} |", cells.join(" | "), outcrop.ratio_to(&bare));
    }
}
