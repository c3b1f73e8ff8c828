//! The bare bridge: the least program that answers `Generate` from Bedrock.
//!
//! It has a pooled HTTP client, the decoder of frames of the SDK, and the text of each delta borrowed from its JSON. It signs nothing, so
//! that only the emulator answers it, and it reads text alone.

use std::{
    borrow::Cow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use outcrop_contract::v1::{Chunk, GenerateRequest};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use serde::Deserialize;
use serde_json::json;
use tokio_stream::Stream;
use tonic::Status;

use super::{Answers, Numbered, Settings, failed};
use crate::{
    Failure,
    pool::{Pool, Slot},
};

/// The windows of HTTP/2 of a stream and of a connection, as those of the server, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 90 * 4 * STREAM_WINDOW;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

struct Bare {
    upstream: String,
    clients: Pool<Http>,
}

/// The chunks of an answer.
struct Chunks {
    model: String,
    body: Incoming,
    buffer: BytesMut,
    numbered: Numbered,
    _slot: Slot,
}

/// A payload with the members that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'p> {
    #[serde(default)]
    content_block_index: i32,
    #[serde(borrow)]
    delta: Option<Delta<'p>>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'p, str>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Delta<'p> {
    #[serde(borrow)]
    text: Cow<'p, str>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(rename = "inputTokens")]
    input: i32,
    #[serde(rename = "outputTokens")]
    output: i32,
    #[serde(rename = "totalTokens")]
    total: i32,
}

/// Runs the bridge until the process is killed.
///
/// # Errors
/// If it cannot listen.
pub(crate) fn serve(settings: Settings) -> Result<(), Failure> {
    super::serve(settings, async |upstream| {
        let tls = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_native_roots()?
            .with_no_client_auth();
        Ok(Bare { upstream, clients: Pool::new(move || client(tls.clone())) })
    })
}

fn client(tls: ClientConfig) -> Http {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(https)
}

impl Answers for Bare {
    type Chunks = Chunks;

    async fn answer(&self, request: GenerateRequest) -> Result<Chunks, Status> {
        let max_tokens = request.inference_config.and_then(|config| config.max_tokens);
        let message = json!({"role": "user", "content": [{"text": request.prompt}]});
        let body = json!({"messages": [message], "inferenceConfig": {"maxTokens": max_tokens}}).to_string();
        let request = Request::post(format!("{}/model/{}/converse-stream", self.upstream, request.model))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .map(|built| (built, request.model))
            .map_err(failed)?;
        let (request, model) = request;
        let (client, slot) = self.clients.client();
        let response = client.request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        let body = response.into_body();
        Ok(Chunks { model, body, buffer: BytesMut::new(), numbered: Numbered::default(), _slot: slot })
    }
}

impl Chunks {
    /// The next frame that has arrived to its end.
    fn frame(&mut self) -> Result<Option<Message>, Status> {
        let Some(total) = self.buffer.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
            return Ok(None);
        };
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(total).freeze();
        read_message_from(&mut frame).map(Some).map_err(failed)
    }

    /// The chunk for an event. `None` if there is none.
    fn chunk(&mut self, message: &Message) -> Result<Option<Chunk>, Status> {
        let header = |name| {
            let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
            found.value().as_string().ok()
        };
        let Some(event) = header(":event-type") else {
            return Err(failed(header(":exception-type").map_or("an error", |exception| exception.as_str())));
        };
        let payload: Payload<'_> = serde_json::from_slice(message.payload()).map_err(failed)?;
        let block = payload.content_block_index;
        Ok(match (event.as_str(), payload) {
            ("messageStart", _) => Some(self.numbered.start(&self.model)),
            ("contentBlockDelta", Payload { delta: Some(delta), .. }) => {
                Some(self.numbered.text(block, delta.text.into_owned()))
            }
            ("contentBlockStop", _) => Some(self.numbered.block_stop(block)),
            ("messageStop", Payload { stop_reason: Some(reason), .. }) => {
                self.numbered.stop_reason = reason.into_owned();
                None
            }
            ("metadata", Payload { usage: Some(usage), .. }) => {
                Some(self.numbered.finish([usage.input, usage.output, usage.total]))
            }
            (other, _) => return Err(failed(format!("the event {other} is not known"))),
        })
    }
}

impl Stream for Chunks {
    type Item = Result<Chunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while let Some(message) = self.frame()? {
                if let Some(chunk) = self.chunk(&message)? {
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose().map_err(failed)? {
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None => return Poll::Ready(self.numbered.end()),
            }
        }
    }
}
