//! The emulator in place of Bedrock, as a process of its own, and the answers that it gives.

use bedrock_emulator::{Config, Emulator, Script, Step};

use crate::Failure;

/// The number of different texts in an answer.
const TEXTS: usize = 16;

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The name of its script.
    name: &'static str,
    /// The number of its chunks of text.
    chunks: usize,
    /// The time before each, in milliseconds.
    gap: u64,
}

/// A chunk each 20 ms, for ten seconds.
pub(crate) const PACED: Answer = Answer { name: "bench-paced", chunks: 500, gap: 20 };

/// As fast as it is taken, for many streams.
pub(crate) const FLAT_OUT: Answer = Answer { name: "bench-flat-out", chunks: 20_000, gap: 0 };

/// The same for one stream, which is longer, because processor time is counted in steps of 10 ms.
pub(crate) const LONG: Answer = Answer { name: "bench-long", chunks: 240_000, gap: 0 };

impl Answer {
    /// The model that gives it.
    pub(crate) fn model(self) -> String {
        format!("emulator.{}", self.name)
    }

    /// Whether there is a pause before each chunk.
    pub(crate) fn is_paced(self) -> bool {
        self.gap > 0
    }

    /// With texts of the length of tokens, and Bedrock's padding.
    fn script(self) -> Script {
        let texts = (0..TEXTS).map(|number| Step::text(&format!(" chunk {number}")));
        let steps = texts.flat_map(|text| (self.gap > 0).then_some(Step::WaitMs(self.gap)).into_iter().chain([text]));
        let texts = Step::Repeat { times: self.chunks / TEXTS, steps: steps.collect() };
        let end = [Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(10, 1_000)];
        Script::of([Step::message_start(), texts].into_iter().chain(end))
    }
}

/// Runs the emulator until the process is killed.
///
/// # Errors
/// If it does not start.
pub(crate) async fn serve() -> Result<(), Failure> {
    let emulator = Emulator::start(Config::default()).await?;
    for answer in [PACED, FLAT_OUT, LONG] {
        emulator.register(answer.name, answer.script());
    }
    println!("listening on {}", emulator.address());
    std::future::pending().await
}
