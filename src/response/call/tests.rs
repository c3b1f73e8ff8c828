//! Tests of one call with paused time: it ends once, gives everything back, and is polled only when something has happened.

use std::future::poll_fn;

use bytes::Bytes;
use tokio::time::{advance, sleep};

use super::*;
use crate::{
    admission::{
        AdmissionControl, AdmissionRequest, LimitSettings, Limits, Permit,
        client::{Client, ClientId},
    },
    bedrock::{
        Upstream,
        frames::paced::{event, paced},
    },
    conversation::{
        Conversations,
        tests::{OWNER, with_conversation},
    },
    identity::Identity,
    metrics::Metrics,
    proto::{GenerateRequest, GetConversationRequest},
    request::{generation_id::GenerationId, timeouts::Deadline},
    response::{
        abandoned::AbandonmentSettings,
        registry::CallRegistry,
        stream::{ChunkStream, PieceStream},
    },
    shutdown::Shutdown,
    telemetry::{call::CallRecord, observer::ObservedCall},
};

const DEADLINE: Duration = Duration::from_mins(1);

/// A server of which only the calls are real.
struct Server {
    shutdown: Shutdown,
    limits: Limits,
    admission: AdmissionControl,
    registry: CallRegistry,
    metrics: Metrics,
}

impl Server {
    /// It runs one stream at a time.
    fn new() -> Self {
        let settings = LimitSettings { streams: 1, ..LimitSettings::default() };
        let (limits, admission) = (Limits { settings, generation: 1 }, AdmissionControl::default());
        let metrics = Metrics::default();
        Self { shutdown: Shutdown::default(), limits, admission, registry: CallRegistry::default(), metrics }
    }

    async fn admit(&self, request: &GenerateRequest) -> Result<Permit, Error> {
        let (client, quotas) = (Client::of(ClientId::Unknown), Arc::default());
        let asked = AdmissionRequest { client: &client, model: "m", request, route: &[], quotas: &quotas };
        self.admission.admit(&self.limits, asked).await
    }

    /// A call whose answer takes five seconds: a turn of the conversation, if there is one.
    async fn call(&self, conversation: Option<&(Conversations, String)>, abandonment: AbandonmentMode) -> ChunkStream {
        let mut request = GenerateRequest { prompt: "hi".to_owned(), ..GenerateRequest::default() };
        let turn = match conversation {
            Some((conversations, id)) => {
                request.conversation_id.clone_from(id);
                conversations.of(OWNER).begin(&mut request).await.unwrap()
            }
            None => None,
        };
        let Permit { streams, reservation } = self.admit(&request).await.unwrap();
        let in_flight = Arc::new(self.shutdown.enter().unwrap());
        let response = PendingResponse::new(async {
            sleep(Duration::from_secs(1)).await;
            let body = paced([
                (0, event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#)),
                (1, event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"b"}}"#)),
                (1, event("messageStop", r#"{"stopReason":"end_turn"}"#)),
                (1, event("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#)),
                (1, Bytes::new()),
            ]);
            let mut reader = ResponseReader::new(Upstream::of_body(body), "id", AttemptLog::default(), DEADLINE);
            reader.first_content().await?;
            Ok(reader)
        });
        let deadline = Deadline(Instant::now() + DEADLINE);
        let record =
            CallRecord::begin("/a.B/Generate", GenerationId::random(), self.metrics.clone(), ObservedCall::default());
        let call = Call::new(CallParts {
            response,
            attempts: AttemptLog::default(),
            time_limit: TimeLimit::new(Instant::now(), 2 * DEADLINE, Some(deadline)),
            heartbeat: Some(Duration::from_millis(700)),
            abandonment,
            whole: WholeAnswer::wanted(turn, None),
            resources: CallResources {
                accounting: UsageAccounting::open(record, reservation, self.metrics.clone()),
                _permits: streams,
                in_flight,
                _memory: None,
            },
        });
        let abandoned = AbandonedCalls::new(AbandonmentSettings::default());
        PieceStream::new(call, Identity::anonymous(), abandoned, &self.registry).into()
    }

    /// The sum of a metric over its labels.
    fn count(&self, name: &str) -> u64 {
        let text = self.metrics.text().unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("outcrop_")?.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with(['{', ' '])).filter_map(|rest| rest.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }
}

/// Polls the stream to its end, or so many times; counts the polls. The sequence has no gap and there is at most one finish, the last chunk.
async fn read(stream: &mut ChunkStream, polls: u32) -> (u32, Option<Result<(), tonic::Status>>) {
    let (mut made, mut sequence, mut finished) = (0, 0, false);
    let mut stream = Pin::new(stream);
    let ended = poll_fn(|cx| {
        loop {
            if made == polls {
                return Poll::Ready(None);
            }
            made += 1;
            match ready!(stream.as_mut().poll_next(cx)) {
                None => {
                    assert!(finished, "OK without a finish");
                    return Poll::Ready(Some(Ok(())));
                }
                Some(Err(status)) => {
                    assert!(!finished, "an error after the finish");
                    return Poll::Ready(Some(Err(status)));
                }
                Some(Ok(chunk)) => {
                    assert!(!finished, "a chunk after the finish");
                    finished = is_finish(&chunk);
                    if let Some(number) = chunk.sequence {
                        assert_eq!(number, sequence);
                        sequence += 1;
                    }
                }
            }
        }
    });
    let ended = ended.await;
    (made, ended)
}

fn reason_of(status: &tonic::Status) -> String {
    tonic_types::StatusExt::get_error_details(status).error_info().unwrap().reason.clone()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_the_store_hangs_ends_the_call_without_spinning() {
    let (server, hung) = (Server::new(), with_conversation(true).await);
    let mut stream = server.call(Some(&hung), AbandonmentMode::Cancel).await;
    let began = Instant::now();
    let (polls, ended) = read(&mut stream, u32::MAX).await;
    assert_eq!(reason_of(&ended.unwrap().unwrap_err()), "CONVERSATION_OUTCOME_UNKNOWN");
    assert!(began.elapsed() <= DEADLINE + Duration::from_secs(1), "{:?}", began.elapsed());
    // Every 700 ms a heartbeat is sent and a poll finds nothing; the chunks of the answer come to a few more.
    assert!(polls < 2 * 90 + 20, "{polls} polls");
    assert!(poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hung_store_does_not_stop_the_sweep_of_deadlines() {
    let (server, hung) = (Server::new(), with_conversation(true).await);
    let mut storing = server.call(Some(&hung), AbandonmentMode::Cancel).await;
    // Until the turn is being stored. From then on the call is not polled.
    assert!(tokio::time::timeout(DEADLINE / 2, read(&mut storing, u32::MAX)).await.is_err());
    advance(DEADLINE).await;
    server.registry.end_overdue(Duration::from_hours(1));
    assert_eq!(server.shutdown.running(), 0, "everything is given back");
    let mut next = server.call(None, AbandonmentMode::Cancel).await;
    read(&mut next, u32::MAX).await.1.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_poll_releases_its_resources_once() {
    let (kept, mut whole) = (with_conversation(false).await, 0);
    let cases =
        [(AbandonmentMode::Cancel, None), (AbandonmentMode::Drain, None), (AbandonmentMode::Cancel, Some(&kept))];
    for (mode, conversation) in cases {
        for polls in 0..32 {
            let server = Server::new();
            let mut stream = server.call(conversation, mode).await;
            let (_, ended) = read(&mut stream, polls).await;
            whole += u32::from(ended.is_some());
            drop(stream);
            tokio::time::timeout(DEADLINE, server.shutdown.finished()).await.unwrap();
            let ends = ["streams_finished_total", "streams_failed_total", "streams_abandoned_total"];
            let counted: Vec<_> = ends.iter().map(|name| server.count(name)).collect();
            assert_eq!(counted.iter().sum::<u64>(), 1, "{mode:?}, {polls} polls: {ends:?} {counted:?}");
            assert_eq!(server.count("streams_running"), 0, "{mode:?}, {polls} polls");
            // The only place is free again.
            assert!(server.admit(&GenerateRequest::default()).await.is_ok());
            if let Some((conversations, id)) = conversation {
                // The lease is free too, once a turn that was being stored is stored.
                let mut again = GenerateRequest { conversation_id: id.clone(), ..GenerateRequest::default() };
                let free = async { while conversations.of(OWNER).begin(&mut again).await.is_err() {} };
                tokio::time::timeout(DEADLINE, free).await.unwrap();
            }
        }
    }
    assert!(whole >= 3, "some read to the end: {whole}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_caller_leaves_is_stored_if_its_write_had_begun_and_otherwise_not() {
    let whole = {
        let (server, kept) = (Server::new(), with_conversation(false).await);
        let mut stream = server.call(Some(&kept), AbandonmentMode::Cancel).await;
        read(&mut stream, u32::MAX).await.0
    };
    let mut stored_without_finish = 0;
    for polls in 0..whole {
        let (server, (conversations, id)) = (Server::new(), with_conversation(false).await);
        let kept = (conversations.clone(), id.clone());
        let mut stream = server.call(Some(&kept), AbandonmentMode::Cancel).await;
        read(&mut stream, polls).await;
        // In the middle of a poll that has found nothing.
        let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_next(cx).is_pending())).await;
        drop(stream);
        let mut again = GenerateRequest { conversation_id: id.clone(), ..GenerateRequest::default() };
        let free = async { while conversations.of(OWNER).begin(&mut again).await.is_err() {} };
        tokio::time::timeout(DEADLINE, free).await.unwrap();
        let request = GetConversationRequest { conversation_id: id, ..GetConversationRequest::default() };
        let stored = conversations.of(OWNER).get(&request).await.unwrap().turns.len() as u64;
        // The answer was complete when its turn was being stored, so its usage is known and it counts as finished.
        assert_eq!(server.count("streams_finished_total"), stored, "left after {polls} polls");
        assert_eq!(server.count("streams_abandoned_total"), 1 - stored, "left after {polls} polls");
        stored_without_finish += u64::from(next) * stored;
    }
    assert!(stored_without_finish > 0, "none left while its turn was being stored");
}
