//! `bench`: sends the same prompt many times, and prints how long answers take. [`figures`] has the percentiles.
//!
//! Each request begins when one before it ends, so a slow server gets fewer requests. The time of a request begins when it is sent on a
//! connection that is open already. Requests that fail are counted and not repeated, and are in no percentile.

mod figures;

use std::{
    io,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinSet;

use self::figures::Figures;
use super::{AskArgs, CommonArgs, Exit, RequestArgs, Shown, failure::Failure, report};
use crate::{
    Client,
    proto::{GenerateRequest, chunk::Event},
    terminal::Output,
};

/// What is sent, how often, and how many at once.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub request: RequestArgs,
    /// How many requests to send
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "20")]
    pub requests: NonZeroU32,
    /// How many requests run at the same time
    #[arg(long, short = 'c', value_name = "NUMBER", default_value = "1")]
    pub concurrency: NonZeroU32,
}

/// One request.
#[derive(Debug)]
struct Measured {
    /// From the request to the first content. `None`: there was none.
    first_content: Option<Duration>,
    whole: Duration,
    /// The generated tokens, as the model reports them.
    tokens: Option<u32>,
    /// The reason of a failure.
    failure: Option<String>,
}

/// Runs a benchmark. Errors are printed as those of [`super::run`].
pub(super) async fn run_bench(endpoint: &str, common: &CommonArgs, args: BenchArgs) -> Exit {
    match bench(endpoint, common, args).await {
        Ok(exit) => exit,
        Err(failure) if failure.is_closed_output() => Exit::Complete,
        Err(failure) => report(&failure, common, &Shown { has_content: false, is_cut_off: false }),
    }
}

async fn bench(endpoint: &str, common: &CommonArgs, args: BenchArgs) -> Result<Exit, Failure> {
    let BenchArgs { request, requests, concurrency } = args;
    let ask = AskArgs { request, ..AskArgs::default() };
    let request = ask.request().map_err(Failure::Prompt)?;
    let client = common.connection.builder(endpoint).map_err(Failure::File)?.connect().await?;
    let bar = progress_bar(common, requests.get());
    let started = Instant::now();
    let mut running = JoinSet::new();
    let mut sent = 0;
    let mut measured = Vec::new();
    let mut is_stopped = false;
    let mut stop = Box::pin(stop(common.timeout));
    loop {
        while !is_stopped && sent < requests.get() && running.len() < concurrency.get() as usize {
            running.spawn(measure(client.clone(), request.clone()));
            sent += 1;
        }
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(one)) => {
                    measured.push(one);
                    bar.inc(1);
                }
                Some(Err(_)) => {}
                None => break,
            },
            // What runs is cancelled, and is in no figure.
            () = &mut stop, if !is_stopped => {
                is_stopped = true;
                running.abort_all();
            }
        }
    }
    bar.finish_and_clear();
    let figures = Figures::of(&measured, concurrency.get(), started.elapsed());
    let mut out = Output::of(io::stdout());
    let printed =
        if common.json { out.json_line(&figures.json().to_string()) } else { out.text(&figures.text(is_stopped)) };
    printed.map_err(Failure::Output)?;
    let has_failed = measured.iter().any(|one| one.failure.is_some());
    Ok(match (is_stopped, has_failed) {
        (true, _) => Exit::Cancelled,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Complete,
    })
}

/// Ctrl-C or `--timeout`.
async fn stop(timeout: Option<Duration>) {
    let timed_out = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = timed_out => {}
    }
}

async fn measure(client: Client, request: GenerateRequest) -> Measured {
    let started = Instant::now();
    let mut measured = Measured { first_content: None, whole: Duration::ZERO, tokens: None, failure: None };
    let answer = async {
        let mut chunks = client.generate(request).await?;
        while let Some(chunk) = chunks.next().await? {
            match chunk.event {
                Some(Event::Start(_) | Event::Heartbeat(_)) | None => {}
                Some(Event::Finish(finish)) => {
                    let tokens = finish.usage.and_then(|usage| usage.output_tokens);
                    measured.tokens = tokens.and_then(|tokens| u32::try_from(tokens).ok());
                }
                Some(_) => {
                    measured.first_content.get_or_insert_with(|| started.elapsed());
                }
            }
        }
        Ok(())
    };
    if let Err(error) = answer.await {
        measured.failure = Some(Failure::Client(error).reason());
    }
    measured.whole = started.elapsed();
    measured
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(common: &CommonArgs, requests: u32) -> ProgressBar {
    let target = if common.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(requests.into()), target);
    match ProgressStyle::with_template("{bar:40} {pos}/{len}, {per_sec}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
