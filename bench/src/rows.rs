//! The workloads of `generate`, one row each.

use crate::{
    figures::{
        Figure,
        Point::{Max, P50, P90, P99},
    },
    upstream::{Answer, FLAT_OUT, LARGE, SILENT, SLOW, STAMPED, TINY},
};

/// The most streams in the brief form.
const BRIEF_STREAMS: usize = 16;

/// The open files that a process needs besides those of streams.
const OTHER_FILES: u64 = 200;

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What it is.
    pub(crate) name: &'static str,
    /// The answer of each stream.
    pub(crate) answer: Answer,
    /// When streams begin.
    pub(crate) shape: Shape,
    /// The number of streams.
    streams: usize,
    /// The number of connections of the callers.
    pub(crate) connections: usize,
    /// Where there is TLS.
    pub(crate) tls: Tls,
    /// What is printed.
    pub(crate) figures: &'static [Figure],
}

/// When streams begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other.
    InTurn,
    /// All at once, and they run together.
    Together,
    /// All at once, several times.
    Burst,
    /// Some hundred at once, until all are open.
    Open,
}

/// Where there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Nowhere. The upstream has HTTP/1.1.
    No,
    /// Upstream, where there is HTTP/2 then.
    Upstream,
    /// On both sides.
    Both,
}

const CALLS: &[Figure] = &[Figure::Call, Figure::First(P50), Figure::First(P99), Figure::Peak];
const CHUNKS: &[Figure] = &[Figure::Chunk, Figure::First(P50), Figure::Peak];
const PACED: &[Figure] = &[
    Figure::Chunk,
    Figure::Call,
    Figure::First(P50),
    Figure::First(P99),
    Figure::Delay(P50),
    Figure::Delay(P90),
    Figure::Delay(P99),
    Figure::Delay(Max),
    Figure::Gap(P50),
    Figure::Gap(P90),
    Figure::Gap(P99),
    Figure::Gap(Max),
    Figure::Peak,
];
const OPEN: &[Figure] = &[Figure::Stream, Figure::Kept, Figure::Peak];

const PLAIN: Row = Row {
    name: "",
    answer: STAMPED,
    shape: Shape::Together,
    streams: 200,
    connections: 4,
    tls: Tls::No,
    figures: PACED,
};

/// The row of one tiny stream after the other.
pub(crate) const IN_TURN: Row = Row {
    name: "one tiny stream after the other",
    answer: TINY,
    shape: Shape::InTurn,
    streams: 1_000,
    connections: 1,
    figures: CALLS,
    ..PLAIN
};

/// The row of 200 paced streams.
pub(crate) const PACED_200: Row = Row { name: "200 streams, a chunk each 20 ms", ..PLAIN };

/// All rows.
pub(crate) const ROWS: [Row; 16] = [
    IN_TURN,
    Row { name: "32 streams flat out", answer: FLAT_OUT, streams: 32, figures: CHUNKS, ..PLAIN },
    PACED_200,
    Row { name: "20 streams, a chunk each 200 ms", answer: SLOW, streams: 20, ..PLAIN },
    Row { name: "200 streams, a chunk each 200 ms", answer: SLOW, ..PLAIN },
    Row { name: "2,000 streams, a chunk each 200 ms", answer: SLOW, streams: 2_000, connections: 40, ..PLAIN },
    Row { name: "a burst of 200 streams", answer: TINY, shape: Shape::Burst, figures: CALLS, ..PLAIN },
    open("1,000 open streams, a chunk each 20 s", 1_000, Tls::No),
    open("10,000 open streams, a chunk each 20 s", 10_000, Tls::No),
    open("1,000 open streams, TLS on both sides", 1_000, Tls::Both),
    open("10,000 open streams, TLS on both sides", 10_000, Tls::Both),
    Row { name: "8 streams flat out, 64 KiB deltas", answer: LARGE, streams: 8, figures: CHUNKS, ..PLAIN },
    Row { name: "200 streams, a chunk each 20 ms, TLS and HTTP/2 upstream", tls: Tls::Upstream, ..PLAIN },
    Row { name: "200 streams, a chunk each 20 ms, TLS on both sides", tls: Tls::Both, ..PLAIN },
    Row { name: "200 streams, a chunk each 20 ms, one connection of callers", connections: 1, ..PLAIN },
    Row { name: "200 streams, a chunk each 20 ms, 50 connections of callers", connections: 50, ..PLAIN },
];

const fn open(name: &'static str, streams: usize, tls: Tls) -> Row {
    Row { name, answer: SILENT, shape: Shape::Open, streams, connections: 50, tls, figures: OPEN }
}

impl Row {
    /// The number of streams.
    pub(crate) fn streams(self, is_brief: bool) -> usize {
        if is_brief { self.streams.min(BRIEF_STREAMS) } else { self.streams }
    }

    /// Whether it differs from another row by its number of streams alone, which is not large in the brief form.
    pub(crate) fn is_only_larger(&self) -> bool {
        self.streams > 1_000
    }

    /// The open files that a process needs: over HTTP/1.1 a stream has a connection of its own.
    pub(crate) fn files(self, is_brief: bool) -> u64 {
        let streams = if self.tls == Tls::No { self.streams(is_brief) } else { 0 };
        (streams + self.connections) as u64 + OTHER_FILES
    }
}
