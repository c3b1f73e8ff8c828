//! The pace of a stream: its chunks, and the gaps between them. It is counted for every chunk, so it needs no lock and no allocation.

use std::time::Duration;

use tokio::time::Instant;

/// The upper ends of the buckets for gaps, in seconds. The last bucket has the longer ones.
pub(crate) const GAPS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A gap of this length is a stall. Models that think for longer send events while they do.
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// The chunks of a stream and the gaps between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    chunks: u64,
    stalls: u64,
    gaps: [u64; GAPS.len() + 1],
    total: Duration,
    /// Since when the stream has waited for the next chunk.
    waiting: Option<Instant>,
}

impl Pace {
    /// Records that there is no next chunk yet.
    pub(crate) fn waits(&mut self, now: Instant) {
        self.waiting.get_or_insert(now);
    }

    /// Records chunks that arrived together: between them there are no gaps. Chunks that were there when they were asked for have no gap before
    /// them, however long the caller did not ask.
    pub(crate) fn chunks(&mut self, count: u32, now: Instant) {
        for _ in 0..count {
            let gap = self.waiting.take().map(|since| now.saturating_duration_since(since)).unwrap_or_default();
            self.chunks += 1;
            // The first chunk is there when the stream begins.
            if self.chunks > 1 {
                self.gap(gap);
            }
        }
    }

    /// Records the end of the stream. A stall that no chunk has ended counts too.
    pub(crate) fn ended(&mut self, now: Instant) {
        let gap = self.waiting.take().map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        if gap >= STALL {
            self.gap(gap);
        }
    }

    fn gap(&mut self, gap: Duration) {
        let seconds = gap.as_secs_f64();
        self.gaps[GAPS.partition_point(|end| *end < seconds)] += 1;
        self.total += gap;
        self.stalls += u64::from(gap >= STALL);
    }

    /// The number of chunks.
    pub(crate) fn number(&self) -> u64 {
        self.chunks
    }

    /// The number of gaps of at least [`STALL`].
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls
    }

    /// The number of gaps by bucket.
    pub(crate) fn gaps(&self) -> &[u64; GAPS.len() + 1] {
        &self.gaps
    }

    /// All gaps together.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    async fn chunk_after(pace: &mut Pace, gap: Duration) {
        pace.waits(Instant::now());
        advance(gap / 2).await;
        // Asked again before there is a chunk, as after a heartbeat.
        pace.waits(Instant::now());
        advance(gap / 2).await;
        pace.chunks(1, Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn gaps_are_counted_by_length_and_long_ones_are_stalls() {
        let mut pace = Pace::default();
        for millis in [700, 4, 40, 9_998, 10_000, 400_000] {
            chunk_after(&mut pace, Duration::from_millis(millis)).await;
        }
        assert_eq!((pace.number(), pace.stalls()), (6, 2));
        assert_eq!(
            pace.gaps(),
            &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1],
            "the wait for the first chunk is no gap"
        );
        assert_eq!(pace.total(), Duration::from_millis(4 + 40 + 9_998 + 10_000 + 400_000));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_the_caller_does_not_read_is_no_gap() {
        let mut pace = Pace::default();
        pace.chunks(1, Instant::now());
        advance(Duration::from_mins(5)).await;
        pace.chunks(1, Instant::now());
        assert_eq!((pace.gaps()[0], pace.stalls(), pace.total()), (1, 0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_that_no_chunk_ends_counts_and_a_short_wait_at_the_end_does_not() {
        for (wait, stalls) in [(STALL, 1), (Duration::from_secs(9), 0)] {
            let mut pace = Pace::default();
            pace.chunks(1, Instant::now());
            pace.waits(Instant::now());
            advance(wait).await;
            pace.ended(Instant::now());
            pace.ended(Instant::now());
            assert_eq!((pace.stalls(), pace.gaps().iter().sum::<u64>()), (stalls, stalls));
        }
    }
}
