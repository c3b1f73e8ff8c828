//! Emulator, server and client on free loopback ports, and the short ways to ask.

use std::{future::pending, net::SocketAddr, time::Duration};

use bedrock_emulator::{Config, Emulator, Script, Step};
use outcrop::{app::App, bedrock::Bedrock, config::Settings, metrics::Metrics, shutdown::Ended};
use outcrop_client::{
    CallError, Chunks, Client, ClientBuilder, ClientError,
    proto::{Chunk, Finish, GenerateRequest, Start, chunk::Event},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here may take; a test that waits so long has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Everything running.
pub(crate) struct Harness {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
    pub(crate) endpoint: String,
    pub(crate) metrics_address: Option<SocketAddr>,
    metrics: Metrics,
    stop: CancellationToken,
    server: JoinSet<Ended>,
}

/// What one call came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) result: Result<(), ClientError>,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        // One attempt, so that a refusal is seen at once; retries have tests of their own.
        Self::with(|settings| settings.attempts = 1).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::connecting(change, |client| client).await
    }

    /// With a client that connects as it is built here.
    pub(crate) async fn connecting(
        change: impl FnOnce(&mut Settings),
        build: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        let mut settings = Settings::local();
        // The tests run on busy machines, and the connect timeout also covers the time to sign a large request.
        settings.rules.timeouts.default.connect = TIMEOUT;
        change(&mut settings);
        let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
        let app = App::build(&settings, Bedrock::emulated(&emulator.endpoint(), settings.max_connect()).unwrap())
            .await
            .unwrap();
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let (endpoint, metrics) = (format!("{scheme}://{}", app.address()), app.metrics());
        let metrics_address = app.metrics_address();
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(app.run(stop.clone().cancelled_owned(), pending()));
        let client = build(Client::builder(&endpoint)).connect().await.unwrap();
        Self { emulator, client, endpoint, metrics_address, metrics, stop, server }
    }

    /// Asks the model `emulator.<name>` whose answer is this script.
    pub(crate) async fn play(&self, name: &str, script: Script) -> Outcome {
        let model = self.emulator.register(name, script);
        self.ask(request(&model)).await
    }

    pub(crate) async fn ask(&self, request: GenerateRequest) -> Outcome {
        let answer = async {
            match self.client.generate(request).await {
                Ok(chunks) => collect(chunks).await,
                Err(error) => Outcome { chunks: Vec::new(), result: Err(error) },
            }
        };
        timeout(TIMEOUT, Box::pin(answer)).await.expect("the call hangs")
    }

    /// The sum of a metric over all lines that hold these labels.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        metric(&self.metrics.text().unwrap(), name, labels)
    }

    /// Waits until a metric has this value.
    pub(crate) async fn counted(&self, name: &str, labels: &[&str], wanted: u64) {
        let reached = async {
            while self.count(name, labels) != wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(TIMEOUT, reached).await;
        assert!(in_time.is_ok(), "{name}{labels:?} is not {wanted}:\n{}", self.metrics.text().unwrap());
    }

    /// As SIGTERM would.
    pub(crate) fn begin_shutdown(&self) {
        self.stop.cancel();
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        timeout(TIMEOUT, self.server.join_next()).await.expect("the server hangs").unwrap().unwrap()
    }
}

impl Outcome {
    /// The chunks of an answer that is whole.
    pub(crate) fn whole(self) -> Vec<Chunk> {
        self.result.expect("the call is OK");
        assert_sequence(&self.chunks);
        self.chunks
    }

    /// The chunks before a failure, and the failure.
    pub(crate) fn failed(self) -> (Vec<Chunk>, CallError) {
        assert_sequence(&self.chunks);
        assert!(
            !self.chunks.iter().any(|chunk| matches!(chunk.event, Some(Event::Finish(_)))),
            "no finish before an error"
        );
        match self.result {
            Err(ClientError::Call(error)) => (self.chunks, *error),
            other => panic!("not a failed call: {other:?}"),
        }
    }
}

/// The sum of a metric over all lines that hold these labels.
pub(crate) fn metric(text: &str, name: &str, labels: &[&str]) -> u64 {
    let of_name = text.lines().filter_map(|line| line.strip_prefix("outcrop_")?.strip_prefix(name));
    let with_labels = of_name.filter(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|l| rest.contains(l)));
    with_labels.map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// How long a test goes on that gains by going on; a variable says another time.
pub(crate) fn duration_of(variable: &str, otherwise: Duration) -> Duration {
    std::env::var(variable).map_or(otherwise, |written| humantime::parse_duration(&written).unwrap())
}

/// A request for this model.
pub(crate) fn request(model: &str) -> GenerateRequest {
    GenerateRequest { model: model.to_owned(), prompt: "hi".to_owned(), ..GenerateRequest::default() }
}

pub(crate) async fn collect(mut chunks: Chunks) -> Outcome {
    let mut all = Vec::new();
    loop {
        match chunks.next().await {
            Ok(Some(chunk)) => all.push(chunk),
            Ok(None) => return Outcome { chunks: all, result: Ok(()) },
            Err(error) => return Outcome { chunks: all, result: Err(error) },
        }
    }
}

/// Opens so many streams at once. Each has brought a chunk, and runs on for longer than the test.
pub(crate) async fn open_streams(emulator: &Emulator, client: &Client, streams: usize) -> Vec<Chunks> {
    let steps = [Step::message_start(), Step::text("first"), Step::WaitMs(60_000)];
    let model = emulator.register("open", Script::of(steps));
    let mut opening = JoinSet::new();
    for _ in 0..streams {
        let (client, model) = (client.clone(), model.clone());
        opening.spawn(async move {
            let mut chunks = client.generate(request(&model)).await.unwrap();
            chunks.next().await.unwrap();
            chunks
        });
    }
    let mut open = Vec::new();
    while let Some(chunks) = soon(opening.join_next()).await {
        open.push(chunks.unwrap());
    }
    open
}

/// Waits, with an end, for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(TIMEOUT, what).await.expect("it does not happen")
}

pub(crate) fn text_of(chunks: &[Chunk]) -> String {
    let texts =
        chunks.iter().filter_map(|chunk| if let Some(Event::Text(text)) = &chunk.event { Some(text) } else { None });
    texts.cloned().collect()
}

pub(crate) fn start_of(chunks: &[Chunk]) -> &Start {
    match &chunks[0].event {
        Some(Event::Start(start)) => start,
        other => panic!("starts with {other:?}"),
    }
}

pub(crate) fn finish_of(chunks: &[Chunk]) -> &Finish {
    match &chunks.last().unwrap().event {
        Some(Event::Finish(finish)) => finish,
        other => panic!("ends with {other:?}"),
    }
}

/// Heartbeats have no number.
fn assert_sequence(chunks: &[Chunk]) {
    let numbered = chunks.iter().filter(|chunk| !matches!(chunk.event, Some(Event::Heartbeat(_))));
    for (at, chunk) in numbered.enumerate() {
        assert_eq!(chunk.sequence(), u32::try_from(at).unwrap());
    }
}
