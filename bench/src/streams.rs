//! Streams that run at once, each of which checks every text, and their times.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Failure,
    callers::Callers,
    upstream::{self, STAMP},
};

/// The longest time for all first texts, and for the end of an answer after that.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(3);

/// What every stream must bring.
#[derive(Debug)]
pub(crate) struct Expected {
    model: String,
    texts: Vec<String>,
    /// The number of its texts.
    pub(crate) chunks: usize,
    is_stamped: bool,
    is_paced: bool,
}

/// The times of streams.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// From the call to the first text.
    pub(crate) first: Vec<Duration>,
    /// Between the texts, of paced streams.
    pub(crate) gaps: Vec<Duration>,
    /// From the stamp of a text to its arrival.
    pub(crate) delays: Vec<Duration>,
}

/// How far all streams are.
#[derive(Debug, Default)]
struct Progress {
    begun: AtomicUsize,
    chunks: AtomicUsize,
}

/// Streams that are running.
#[derive(Debug)]
pub(crate) struct Running {
    progress: Arc<Progress>,
    streams: JoinSet<Result<Times, Failure>>,
    count: usize,
    times: Times,
}

impl Expected {
    pub(crate) fn of(answer: upstream::Answer, is_brief: bool) -> Arc<Self> {
        Arc::new(Self {
            model: answer.model(),
            texts: answer.texts(),
            chunks: answer.chunks(is_brief),
            is_stamped: answer.is_stamped,
            is_paced: answer.is_paced(),
        })
    }

    /// Checks a text, and returns how long ago it was sent if it has a stamp.
    fn check(&self, number: usize, text: &str) -> Result<Option<Duration>, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let (stamp, rest) = text.split_at_checked(if self.is_stamped { STAMP } else { 0 }).unwrap_or_default();
        let expected = self.texts.get(number % self.texts.len());
        if number >= self.chunks || expected.is_none_or(|expected| expected != rest) {
            return Err(format!("text {number} of {} is {rest:?} and not {expected:?}", self.chunks).into());
        }
        if !self.is_stamped {
            return Ok(None);
        }
        Ok(Some(now.saturating_sub(Duration::from_nanos(stamp.parse()?))))
    }
}

impl Times {
    /// Adds those of other streams.
    pub(crate) fn add(&mut self, others: Self) {
        self.first.extend(others.first);
        self.gaps.extend(others.gaps);
        self.delays.extend(others.delays);
    }
}

/// Reads one answer.
///
/// # Errors
/// If it fails, or is not what is expected.
pub(crate) async fn read(callers: &Callers, number: usize, expected: &Expected) -> Result<Times, Failure> {
    stream(callers, number, expected, &Progress::default(), || ()).await
}

async fn stream(
    callers: &Callers,
    number: usize,
    expected: &Expected,
    progress: &Progress,
    begun: impl FnOnce(),
) -> Result<Times, Failure> {
    let (mut times, mut received, mut last) = (Times::default(), 0, Instant::now());
    let mut begun = Some(begun);
    let mut answer = callers.ask(number, &expected.model).await?;
    while let Some(text) = answer.next().await? {
        let since = last.elapsed();
        last += since;
        times.delays.extend(expected.check(received, &text)?);
        if let Some(begun) = begun.take() {
            times.first.push(since);
            progress.begun.fetch_add(1, Ordering::Relaxed);
            begun();
        } else if expected.is_paced {
            times.gaps.push(since);
        }
        received += 1;
        progress.chunks.fetch_add(1, Ordering::Relaxed);
    }
    if received == expected.chunks { Ok(times) } else { Err(format!("the answer ended after {received} texts").into()) }
}

impl Running {
    /// Starts so many streams, of which at most `at_once` wait for their first text at the same time.
    pub(crate) fn start(callers: &Arc<Callers>, expected: &Arc<Expected>, count: usize, at_once: usize) -> Self {
        let permits = Arc::new(Semaphore::new(at_once));
        let mut running = Self { progress: Arc::default(), streams: JoinSet::new(), count, times: Times::default() };
        for number in 0..count {
            let (callers, expected, permits) = (Arc::clone(callers), Arc::clone(expected), Arc::clone(&permits));
            let progress = Arc::clone(&running.progress);
            running.streams.spawn(async move {
                let permit = permits.acquire_owned().await?;
                // Boxed, so that a stream that waits for long has a small task.
                Box::pin(stream(&callers, number, &expected, &progress, || drop(permit))).await
            });
        }
        running
    }

    /// Waits until each has brought its first text.
    ///
    /// # Errors
    /// If one fails.
    pub(crate) async fn begun(&mut self) -> Result<(), Failure> {
        let begun = async {
            while self.progress.begun.load(Ordering::Relaxed) < self.count {
                while let Some(ended) = self.streams.try_join_next() {
                    self.times.add(ended??);
                }
                sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Failure>(())
        };
        timeout(ANSWER_TIMEOUT, begun).await?
    }

    /// The number of texts so far.
    pub(crate) fn chunks(&self) -> usize {
        self.progress.chunks.load(Ordering::Relaxed)
    }

    /// Whether all are still running.
    pub(crate) fn are_all_running(&self) -> bool {
        self.streams.len() == self.count
    }

    /// Waits for the end of the first one.
    ///
    /// # Errors
    /// If it fails, or is not what is expected.
    pub(crate) async fn first_end(&mut self) -> Result<(), Failure> {
        if let Some(ended) = timeout(ANSWER_TIMEOUT, self.streams.join_next()).await? {
            self.times.add(ended??);
        }
        Ok(())
    }

    /// Waits for the end of all, and returns their times.
    ///
    /// # Errors
    /// If one fails, or is not what is expected.
    pub(crate) async fn end(mut self) -> Result<Times, Failure> {
        while let Some(ended) = timeout(ANSWER_TIMEOUT, self.streams.join_next()).await? {
            self.times.add(ended??);
        }
        Ok(self.times)
    }
}
