//! The emulator in place of Bedrock, as a process of its own, and the answers that it gives.

use std::{fs, iter, path::PathBuf, process::Command};

use bedrock_emulator::{Config, Emulator, Script, Step};
use clap::Args;

use crate::{
    Failure,
    process::{Program, part},
};

/// The number of different texts in an answer.
const TEXTS: usize = 16;

/// The most chunks of an answer in the brief form.
const BRIEF_CHUNKS: usize = 20;

/// By how much pauses are shorter in the brief form, and the shortest of them, in milliseconds.
const BRIEFER: u64 = 50;
const BRIEF_GAP: u64 = 20;

/// The length of a stamp ([`Step::Stamped`]) in bytes.
pub(crate) const STAMP: usize = 19;

/// The tokens that each answer reports.
pub(crate) const OUTPUT_TOKENS: u16 = 1_000;

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The name of its script.
    name: &'static str,
    /// The number of its chunks of text.
    chunks: usize,
    /// The time after each, in milliseconds.
    gap: u64,
    /// Whether each begins with the time at which it is sent.
    pub(crate) is_stamped: bool,
    /// The length to which each is filled up, in bytes.
    length: usize,
}

const PLAIN: Answer = Answer { name: "", chunks: 0, gap: 0, is_stamped: false, length: 0 };

/// A chunk each 20 ms, for ten seconds.
pub(crate) const PACED: Answer = Answer { name: "bench-paced", chunks: 500, gap: 20, ..PLAIN };

/// As fast as it is taken, for many streams.
pub(crate) const FLAT_OUT: Answer = Answer { name: "bench-flat-out", chunks: 20_000, ..PLAIN };

/// The same for one stream, which is longer, so that its beginning does not count.
pub(crate) const LONG: Answer = Answer { name: "bench-long", chunks: 240_000, ..PLAIN };

/// A short answer.
pub(crate) const TINY: Answer = Answer { name: "bench-tiny", chunks: 1, ..PLAIN };

/// A chunk each 20 ms, for ten seconds, with the time of each.
pub(crate) const STAMPED: Answer = Answer { name: "bench-stamped", is_stamped: true, ..PACED };

/// A chunk each 200 ms, for sixteen seconds, with the time of each.
pub(crate) const SLOW: Answer = Answer { name: "bench-slow", chunks: 80, gap: 200, is_stamped: true, ..PLAIN };

/// A chunk at once, two more in 40 seconds, and the end after a minute.
pub(crate) const SILENT: Answer = Answer { name: "bench-silent", chunks: 3, gap: 20_000, ..PLAIN };

/// Chunks of 64 KiB, as fast as they are taken.
pub(crate) const LARGE: Answer = Answer { name: "bench-large", chunks: 400, length: 64 << 10, ..PLAIN };

/// All answers.
pub(crate) const ANSWERS: [Answer; 8] = [PACED, FLAT_OUT, LONG, TINY, STAMPED, SLOW, SILENT, LARGE];

/// How the emulator is started.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Use TLS, with which there is HTTP/2, and write the certificate to this file
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Give short answers
    #[arg(long)]
    brief: bool,
}

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) program: Program,
    /// The URL of the API of Bedrock.
    pub(crate) endpoint: String,
    /// The certificate to trust, if it has TLS.
    pub(crate) certificate: Option<PathBuf>,
}

impl Answer {
    /// The model that gives it.
    pub(crate) fn model(self) -> String {
        format!("emulator.{}", self.name)
    }

    /// Whether there is a pause after each chunk.
    pub(crate) fn is_paced(self) -> bool {
        self.gap > 0
    }

    /// The number of its chunks of text.
    pub(crate) fn chunks(self, is_brief: bool) -> usize {
        if is_brief { self.chunks.min(BRIEF_CHUNKS) } else { self.chunks }
    }

    /// Its different texts without their stamps. They are repeated in this order.
    pub(crate) fn texts(self) -> Vec<String> {
        let filled = |text: String| format!("{text}{}", "x".repeat(self.length.saturating_sub(text.len())));
        (0..TEXTS).map(|number| filled(format!(" chunk {number}"))).collect()
    }

    /// With texts of the length of tokens, and Bedrock's padding.
    fn script(self, is_brief: bool) -> Script {
        let gap = if is_brief { self.gap.min(BRIEF_GAP.max(self.gap / BRIEFER)) } else { self.gap };
        let pause = (gap > 0).then_some(Step::WaitMs(gap));
        let text = |text: String| if self.is_stamped { Step::Stamped(text) } else { Step::text(&text) };
        let step = |content| iter::once(text(content)).chain(pause.clone()).collect();
        let steps: Vec<Vec<_>> = self.texts().into_iter().map(step).collect();
        let chunks = self.chunks(is_brief);
        let rest = steps.iter().take(chunks % TEXTS).cloned().flat_map(Vec::into_iter).collect::<Vec<_>>();
        let whole = Step::Repeat { times: chunks / TEXTS, steps: steps.into_iter().flat_map(Vec::into_iter).collect() };
        let end = [Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(10, OUTPUT_TOKENS.into())];
        Script::of([Step::message_start(), whole].into_iter().chain(rest).chain(end))
    }
}

impl Upstream {
    /// Starts an emulator. With a file for its certificate it uses TLS.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start(certificate: Option<PathBuf>, is_brief: bool) -> Result<Self, Failure> {
        let mut command = part("emulator")?;
        command.args(is_brief.then_some("--brief"));
        if let Some(file) = &certificate {
            command.arg("--certificate").arg(file);
        }
        let program = Program::start(&mut command)?;
        let endpoint = match certificate {
            Some(_) => format!("https://localhost:{}", program.address.port()),
            None => format!("http://{}", program.address),
        };
        Ok(Self { program, endpoint, certificate })
    }

    /// Adds the variables with which the AWS SDK calls it.
    pub(crate) fn called_by<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &self.endpoint)
            .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "us-east-1")])
            .envs(self.certificate.as_ref().map(|file| ("SSL_CERT_FILE", file)))
    }
}

/// Runs the emulator until the process is killed.
///
/// # Errors
/// If it does not start.
pub(crate) async fn serve(settings: Settings) -> Result<(), Failure> {
    let emulator = Emulator::start(Config { tls: settings.certificate.is_some(), ..Config::default() }).await?;
    for answer in ANSWERS {
        emulator.register(answer.name, answer.script(settings.brief));
    }
    if let (Some(file), Some(certificate)) = (settings.certificate, emulator.certificate()) {
        fs::write(file, certificate)?;
    }
    println!("listening on {}", emulator.address());
    std::future::pending().await
}
