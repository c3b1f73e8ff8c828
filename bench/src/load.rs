//! Callers of the Bedrock API over HTTP, each with one stream. They check every byte, and count the chunks that have arrived.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::Failure;

/// The streams of one connection of HTTP/2.
const STREAMS_OF_CONNECTION: usize = 50;

/// The window of a stream, so that callers never hold an answer back.
const WINDOW: u32 = 1 << 20;

/// The longest time for the first chunks of all streams, and for the rest of them.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// What is asked for.
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":1000}}"#;

type Http = Client<HttpConnector, Full<Bytes>>;

/// The answer that every stream must have, and where its frames end.
#[derive(Debug)]
pub(crate) struct Expected {
    body: Bytes,
    ends: Vec<usize>,
}

/// Callers.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The program that they call.
    pub(crate) to: SocketAddr,
    /// Their API key.
    pub(crate) key: String,
    /// The model that they call.
    pub(crate) model: String,
    /// The number of streams at once.
    pub(crate) streams: usize,
    /// Whether they use HTTP/2.
    pub(crate) over_h2: bool,
}

/// Streams that are running.
#[derive(Debug)]
pub(crate) struct Running {
    received: Vec<Arc<AtomicUsize>>,
    expected: Arc<Expected>,
    streams: JoinSet<Result<(), Failure>>,
}

impl Expected {
    /// What an emulator answers to a caller of its own.
    ///
    /// # Errors
    /// If it does not answer with an event stream.
    pub(crate) async fn of(emulator: SocketAddr, model: &str) -> Result<Arc<Self>, Failure> {
        let load = Load { to: emulator, key: String::new(), model: model.to_owned(), streams: 1, over_h2: false };
        let answer = load.client().request(load.request()?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        let mut ends = Vec::new();
        let mut end = 0;
        while let Some(length) = body.get(end..).and_then(|rest| rest.first_chunk::<4>()) {
            end += u32::from_be_bytes(*length) as usize;
            ends.push(end);
        }
        if end != body.len() || end == 0 {
            return Err("the answer of the emulator is no event stream".into());
        }
        Ok(Arc::new(Self { body, ends }))
    }

    /// The number of its frames.
    pub(crate) fn frames(&self) -> usize {
        self.ends.len()
    }
}

impl Load {
    fn client(&self) -> Http {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Client::builder(TokioExecutor::new())
            .http2_only(self.over_h2)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW * 64)
            .build(connector)
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let Self { to, model, key, .. } = self;
        let request = Request::post(format!("http://{to}/model/{model}/converse-stream"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"));
        Ok(request.body(Full::new(Bytes::from_static(BODY.as_bytes())))?)
    }

    /// Starts the streams, and waits until each has brought its first frames.
    ///
    /// # Errors
    /// If one fails, or brings other bytes than expected.
    pub(crate) async fn start(&self, expected: &Arc<Expected>) -> Result<Running, Failure> {
        let mut running = Running { received: Vec::new(), expected: Arc::clone(expected), streams: JoinSet::new() };
        let mut client = self.client();
        for number in 0..self.streams {
            if number % STREAMS_OF_CONNECTION == 0 {
                client = self.client();
            }
            let received = Arc::<AtomicUsize>::default();
            running.received.push(Arc::clone(&received));
            running.streams.spawn(stream(client.clone(), self.request()?, Arc::clone(expected), received));
        }
        let begun = async {
            while running.received.iter().any(|received| received.load(Ordering::Relaxed) == 0) {
                if let Some(ended) = running.streams.try_join_next() {
                    ended??;
                }
                sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Failure>(())
        };
        timeout(ANSWER_TIMEOUT, begun).await??;
        Ok(running)
    }
}

impl Running {
    /// The number of frames that have arrived in all streams.
    pub(crate) fn chunks(&self) -> usize {
        let ends = &self.expected.ends;
        let of_one = |received: &Arc<AtomicUsize>| {
            let received = received.load(Ordering::Relaxed);
            ends.partition_point(|end| *end <= received)
        };
        self.received.iter().map(of_one).sum()
    }

    /// Waits for the end of the first stream.
    ///
    /// # Errors
    /// If it fails, or its bytes are not those expected.
    pub(crate) async fn first_end(&mut self) -> Result<(), Failure> {
        if let Some(ended) = timeout(ANSWER_TIMEOUT, self.streams.join_next()).await? {
            ended??;
        }
        Ok(())
    }

    /// Waits for the end of all streams.
    ///
    /// # Errors
    /// If one fails, or its bytes are not those expected.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        while let Some(ended) = timeout(ANSWER_TIMEOUT, self.streams.join_next()).await? {
            ended??;
        }
        Ok(())
    }
}

async fn stream(
    client: Http,
    request: Request<Full<Bytes>>,
    expected: Arc<Expected>,
    received: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    let response = client.request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        let body = body.collect().await?.to_bytes();
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    let mut at = 0;
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(data) = frame.into_data() else { continue };
        if expected.body.get(at..at + data.len()) != Some(&data[..]) {
            return Err(format!("the answer differs after {at} bytes").into());
        }
        at += data.len();
        received.store(at, Ordering::Relaxed);
    }
    if at == expected.body.len() { Ok(()) } else { Err(format!("the answer ended after {at} bytes").into()) }
}
