//! A running call with everything that a chunk passes: frames, the state machine, the timers, the accounting and the encoder.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::Body;
use serde_json::json;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};
use tonic::codec::{Codec, EncodeBody, SingleMessageCompressionOverride};

use super::{
    Named, Work,
    answers::{CHUNKS, frame, text},
};
use crate::{
    admission::{
        AdmissionControl, AdmissionRequest, LimitSettings, Limits, Permit,
        client::{Client, ClientId},
    },
    bedrock::Upstream,
    failover::attempt_log::AttemptLog,
    identity::Identity,
    metrics::Metrics,
    proto::{AbandonmentMode, Chunk, GenerateRequest},
    request::generation_id::GenerationId,
    response::{
        abandoned::{AbandonedCalls, AbandonmentSettings},
        call::{Call, CallParts, CallResources},
        pending::PendingResponse,
        reader::ResponseReader,
        registry::CallRegistry,
        stream::{ChunkStream, PieceStream},
        timers::TimeLimit,
        usage::UsageAccounting,
    },
    shutdown::Shutdown,
    telemetry::{call::CallRecord, observer::ObservedCall},
};

pub(super) const ALL: [Named; 1] = [("frame to gRPC message in a running call", stream)];

/// No timeout passes while this runs.
const LONG: Duration = Duration::from_hours(1);

/// The runtime of the timers.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// A body whose frames arrive one at a time, so that each is waited for.
struct OneByOne {
    frames: VecDeque<Bytes>,
    is_there: bool,
}

impl Body for OneByOne {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.is_there = !self.is_there;
        if self.is_there || self.frames.is_empty() {
            Poll::Ready(self.frames.pop_front().map(|bytes| Ok(http_body::Frame::data(bytes))))
        } else {
            Poll::Pending
        }
    }
}

/// An answer of texts, and its end.
fn answer() -> SdkBody {
    let text = frame("contentBlockDelta", &text());
    let mut frames: VecDeque<_> = (0..CHUNKS).map(|_| text.clone()).collect();
    frames.push_back(frame("messageStop", &json!({"stopReason": "end_turn"})));
    frames.push_back(frame("metadata", &json!({"usage": {"inputTokens": 1, "outputTokens": 2}})));
    SdkBody::from_body_1_x(OneByOne { frames, is_there: false })
}

/// The call, running, as the service makes it.
async fn call() -> ChunkStream {
    let (metrics, request) = (Metrics::default(), GenerateRequest { prompt: "hi".to_owned(), ..Default::default() });
    let limits = Limits { settings: LimitSettings::default(), generation: 1 };
    let (client, quotas) = (Client::of(ClientId::Unknown), Arc::default());
    let asked = AdmissionRequest { client: &client, model: "m", request: &request, route: &[], quotas: &quotas };
    let Permit { streams, reservation } = AdmissionControl::default().admit(&limits, asked).await.expect("room");
    let record = CallRecord::begin("/a.B/Generate", GenerationId::random(), metrics.clone(), ObservedCall::default());
    let call = Call::new(CallParts {
        response: PendingResponse::new(async {
            let mut reader = ResponseReader::new(Upstream::of_body(answer()), "id", AttemptLog::default(), LONG);
            reader.first_content().await?;
            Ok(reader)
        }),
        attempts: AttemptLog::default(),
        time_limit: TimeLimit::new(Instant::now(), LONG, None),
        heartbeat: None,
        abandonment: AbandonmentMode::Cancel,
        whole: None,
        resources: CallResources {
            accounting: UsageAccounting::open(record, reservation, metrics),
            _permits: streams,
            in_flight: Arc::new(Shutdown::default().enter().expect("no shutdown")),
            _memory: None,
        },
    });
    let abandoned = AbandonedCalls::new(AbandonmentSettings::default());
    let mut pieces = PieceStream::new(call, Identity::anonymous(), abandoned, &CallRegistry::default());
    // The first content is there, and with it everything that is made once.
    pieces.first_piece().await.expect("content");
    pieces.into()
}

fn stream() -> Work {
    let chunks = RUNTIME.block_on(async {
        let mut call = pin!(call());
        loop {
            if let Poll::Ready(chunks) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return chunks;
            }
        }
    });
    Box::new(move || {
        let _entered = RUNTIME.enter();
        let mut codec = crate::proto::Codec::<Chunk, GenerateRequest>::default();
        let (none, compression) = (None, SingleMessageCompressionOverride::default());
        let mut body = pin!(EncodeBody::new_server(codec.encoder(), chunks, none, compression, None));
        let mut written = 0;
        loop {
            match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_trailers() {
                    Ok(trailers) => {
                        assert_eq!(trailers.get("grpc-status").map(http::HeaderValue::as_bytes), Some(&b"0"[..]));
                        break;
                    }
                    Err(_) => written += 1,
                },
                Poll::Ready(Some(Err(_)) | None) => break,
                Poll::Pending => {}
            }
        }
        assert!(written > CHUNKS, "{written} writes");
    })
}
