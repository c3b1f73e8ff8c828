//! One run of a row: a fresh emulator, a fresh program, the load, and what was measured.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tokio::time::sleep;

use crate::{
    Failure,
    callers::Callers,
    figures::{Figure, Measured},
    operated::{Features, Operated},
    process::{Program, own_processor_time, part},
    rows::{Row, Shape, Tls},
    streams::{Expected, Running, Times, read},
    upstream::{TINY, Upstream},
};

/// The streams that warm a program up.
const WARM_UP: usize = 32;

/// The measured bursts, after one that is not.
const BURSTS: usize = 5;

/// The streams that open at once.
const OPENING: usize = 200;

/// The time after which the memory of open streams is measured, and the time in which it is given back.
const SETTLED: Duration = Duration::from_secs(3);
const GIVEN_BACK: Duration = Duration::from_mins(1);

/// Both in the brief form.
const BRIEFLY: Duration = Duration::from_millis(200);

/// The share of the memory that may stay, in percent, before the rest of the minute is waited for.
const STAYS: usize = 10;

/// The share of a core from which on the load generator itself holds streams up.
const BUSY: f64 = 0.9;

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// The callers use the AWS SDK.
    Direct,
    /// The bare bridge.
    Bare,
    /// The bridge over the AWS SDK.
    Sdk,
    /// Outcrop with these features.
    Outcrop,
}

/// What does not change from run to run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) operated: Operated,
    /// The threads of the runtimes of the bridges.
    pub(crate) workers: Option<usize>,
    pub(crate) is_brief: bool,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) measured: Measured,
    /// The share of a core that the load generator took while streams were paced.
    pub(crate) load: Option<f64>,
}

/// The programs of a run, and the callers.
struct Stage {
    expected: Arc<Expected>,
    /// None if the callers use the AWS SDK.
    program: Option<Program>,
    callers: Arc<Callers>,
    streams: usize,
    is_brief: bool,
    _upstream: Upstream,
}

impl Run {
    /// Whether the load generator was busy enough to hold streams up.
    pub(crate) fn is_load_busy(&self) -> bool {
        self.load.is_some_and(|load| load > BUSY)
    }
}

impl Bench {
    /// Runs a row. `None` if the row cannot be run with this side.
    ///
    /// # Errors
    /// If a program does not run, or a stream has not the texts of the emulator.
    pub(crate) async fn run(&self, row: Row, side: Side, features: Features) -> Result<Option<Run>, Failure> {
        // The SDK in this process cannot be given the certificate of the emulator, and its memory is that of the load generator.
        if side == Side::Direct && (row.tls != Tls::No || row.shape == Shape::Open) {
            return Ok(None);
        }
        let stage = self.stage(row, side, features).await?;
        let warm_up = Expected::of(TINY, self.is_brief);
        Running::start(&stage.callers, &warm_up, WARM_UP, WARM_UP).end().await?;
        if let Some(program) = &stage.program {
            program.reset_peak()?;
        }
        let mut run = match row.shape {
            Shape::InTurn => stage.in_turn().await?,
            Shape::Together => stage.together(row.answer.is_paced()).await?,
            Shape::Burst => stage.burst().await?,
            Shape::Open => stage.open().await?,
        };
        if let Some(program) = &stage.program {
            run.measured.add(Figure::Peak, float(program.peak()?));
        }
        Ok(Some(run))
    }

    async fn stage(&self, row: Row, side: Side, features: Features) -> Result<Stage, Failure> {
        let (operated, is_brief) = (&self.operated, self.is_brief);
        let authority = (row.tls != Tls::No).then(|| operated.authority());
        let upstream = Upstream::start(authority, is_brief)?;
        let features = Features { tls: features.tls || row.tls == Tls::Both, ..features };
        let program = match side {
            Side::Direct => None,
            Side::Bare => Some(self.bridge("bare-bridge", features, &upstream)?),
            Side::Sdk => Some(self.bridge("sdk-bridge", features, &upstream)?),
            Side::Outcrop => Some(operated.start(features, &upstream)?),
        };
        let certificate = features.tls.then(|| operated.certificate());
        let callers = match &program {
            Some(program) => Callers::connect(program, row.connections, &operated.key, certificate.as_deref()).await?,
            None => Callers::direct(&upstream.endpoint).await,
        };
        let (expected, streams) = (Expected::of(row.answer, is_brief), row.streams(is_brief));
        Ok(Stage { expected, program, callers, streams, is_brief, _upstream: upstream })
    }

    fn bridge(&self, name: &str, features: Features, upstream: &Upstream) -> Result<Program, Failure> {
        let mut command = part(name)?;
        command.args(["--upstream", &upstream.endpoint]);
        if let Some(workers) = self.workers {
            command.args(["--workers", &workers.to_string()]);
        }
        if features.tls {
            command.arg("--tls-cert").arg(self.operated.certificate());
            command.arg("--tls-key").arg(self.operated.private_key());
        }
        Program::start(upstream.called_by(&mut command))
    }
}

impl Stage {
    /// The processor time of the program so far. NaN without one.
    fn taken(&self) -> Result<f64, Failure> {
        self.program.as_ref().map_or(Ok(f64::NAN), |program| Ok(program.processor_time()?.as_secs_f64()))
    }

    async fn in_turn(&self) -> Result<Run, Failure> {
        let (mut times, before) = (Times::default(), self.taken()?);
        for number in 0..self.streams {
            times.add(read(&self.callers, number, &self.expected).await?);
        }
        let mut run = Run::default();
        run.measured.add(Figure::Call, (self.taken()? - before) / float(self.streams));
        run.add(times);
        Ok(run)
    }

    async fn together(&self, is_paced: bool) -> Result<Run, Failure> {
        let mut run = Run::default();
        let before = self.taken()?;
        let mut running = Running::start(&self.callers, &self.expected, self.streams, self.streams);
        let mut of_a_chunk = None;
        if is_paced {
            running.begun().await?;
            let (taken, chunks) = (self.taken()?, running.chunks());
            let (at, own) = (Instant::now(), own_processor_time()?);
            running.first_end().await?;
            of_a_chunk = Some((self.taken()? - taken) / float(running.chunks() - chunks));
            run.load = Some(own_processor_time()?.saturating_sub(own).as_secs_f64() / at.elapsed().as_secs_f64());
        }
        let times = running.end().await?;
        let taken = self.taken()? - before;
        let all = float(self.streams * self.expected.chunks);
        run.measured.add(Figure::Chunk, of_a_chunk.unwrap_or(taken / all));
        run.measured.add(Figure::Call, taken / float(self.streams));
        run.add(times);
        Ok(run)
    }

    async fn burst(&self) -> Result<Run, Failure> {
        let burst = || Running::start(&self.callers, &self.expected, self.streams, self.streams).end();
        burst().await?;
        let (mut times, before) = (Times::default(), self.taken()?);
        for _ in 0..BURSTS {
            times.add(burst().await?);
        }
        let mut run = Run::default();
        run.measured.add(Figure::Call, (self.taken()? - before) / float(self.streams * BURSTS));
        run.add(times);
        Ok(run)
    }

    async fn open(&self) -> Result<Run, Failure> {
        let memory = || self.program.as_ref().ok_or("there is no program")?.memory();
        let (settled, given_back) = if self.is_brief { (BRIEFLY, BRIEFLY) } else { (SETTLED, GIVEN_BACK) };
        let before = memory()?;
        let mut running = Running::start(&self.callers, &self.expected, self.streams, OPENING);
        running.begun().await?;
        sleep(settled).await;
        let open = memory()?.saturating_sub(before);
        if !running.are_all_running() && !self.is_brief {
            return Err("the first streams have ended before the last were open".into());
        }
        let times = running.end().await?;
        let ended = Instant::now();
        let kept = loop {
            let kept = memory()?.saturating_sub(before);
            if kept * 100 <= open * STAYS || ended.elapsed() >= given_back {
                break kept;
            }
            sleep(BRIEFLY).await;
        };
        let mut run = Run::default();
        run.measured.add(Figure::Stream, float(open) / float(self.streams));
        run.measured.add(Figure::Kept, float(kept) / float(self.streams));
        run.add(times);
        Ok(run)
    }
}

impl Run {
    fn add(&mut self, times: Times) {
        self.measured.add_points(Figure::First, times.first);
        self.measured.add_points(Figure::Gap, times.gaps);
        self.measured.add_points(Figure::Delay, times.delays);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}
