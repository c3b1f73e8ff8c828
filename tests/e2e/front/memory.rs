//! Whole answers take memory, and all of them together no more than the server has for requests.

use std::{num::NonZeroU64, time::Duration};

use bedrock_emulator::{Script, Step};
use outcrop::{identity::settings::IdentitySettings, quota::settings::ModelQuota};
use outcrop_client::proto::CallerQuotaKind;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::caller::{post, send, serving};
use crate::{
    callers::Caller,
    harness::{Harness, soon},
};

const MIB: usize = 1 << 20;

/// The memory of the server.
const MEMORY: usize = 64 * MIB;

/// An answer that no buffer of a socket holds.
fn long() -> Script {
    let texts = Step::Repeat { times: 256, steps: vec![Step::text(&"x".repeat(64 << 10))] };
    let end = [Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(1, 2)];
    Script::of([Step::message_start(), texts].into_iter().chain(end))
}

/// Asks for a whole answer, and reads its head alone.
async fn read_no_further(endpoint: String, model: String) -> (String, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    SockRef::from(&socket).set_recv_buffer_size(16 << 10).unwrap();
    let address = endpoint.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let length = body.len();
    let request = format!("POST /model/{model}/converse HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 1_024];
    let read = stream.read(&mut head).await.unwrap();
    (String::from_utf8_lossy(&head[..read]).into_owned(), stream)
}

async fn small(harness: &Harness) {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let answered = send(post(&harness.endpoint, "/model/a.model/converse", body), false).await;
    assert!(answered.status.is_success(), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_answers_that_are_not_read_stay_within_the_memory_for_requests() {
    let harness = serving(|settings| {
        (settings.max_request_bytes, settings.max_request_memory) = (MIB, MEMORY);
    })
    .await;
    harness.emulator.register("long", long());
    let mut asked = JoinSet::new();
    for _ in 0..16 {
        asked.spawn(read_no_further(harness.endpoint.clone(), "emulator.long".to_owned()));
    }
    let (mut unread, mut refused) = (Vec::new(), Vec::new());
    while !asked.is_empty() {
        tokio::select! {
            answered = asked.join_next() => {
                let (head, stream) = answered.unwrap().unwrap();
                if head.starts_with("HTTP/1.1 200 ") { unread.push(stream) } else { refused.push(head) }
            }
            () = sleep(Duration::from_millis(1)) => {}
        }
        let bytes = harness.count("request_memory_bytes", &[]);
        assert!(bytes <= MEMORY as u64, "{bytes} bytes");
    }
    // A client leaves half of the memory free, in which an answer of 16 MiB has room once.
    assert!(!unread.is_empty() && !refused.is_empty(), "{} unread, {} refused", unread.len(), refused.len());
    for head in &refused {
        assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
        assert!(head.contains("outcrop-reason: LOCAL_LIMIT") && head.contains("--max-request-memory"), "{head}");
    }
    let bytes = harness.count("request_memory_bytes", &[]);
    assert!(bytes > 8 * MIB as u64 * unread.len() as u64, "{bytes} bytes for {} answers", unread.len());
    small(&harness).await;
    drop(unread);
    soon(harness.counted("request_memory_bytes", &[], 0)).await;
    small(&harness).await;
}

/// Bedrock answers when all is generated, so it has charged for an answer of which a byte has come.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_finds_no_memory_is_paid_for() {
    let mut ada = Caller::new("ada");
    ada.settings.permissions.native_bodies = true;
    ada.settings.budget.tokens_per_day = NonZeroU64::new(10_000);
    let (key, callers) = (ada.key.clone(), vec![ada.settings]);
    let tokens_per_minute = NonZeroU64::new(100_000);
    let harness = Harness::connecting(
        |settings| {
            (settings.bedrock_api, settings.attempts) = (true, 1);
            (settings.max_request_bytes, settings.max_request_memory) = (MIB, 4 * MIB);
            settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
            settings.quotas.quotas =
                vec![ModelQuota { tokens_per_minute, burst_percent: 100, ..ModelQuota::of("emulator.long") }];
        },
        |client| client.api_key(key.into()).insecure_key_over_plaintext(),
    )
    .await;
    harness.emulator.register("long", long());
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":1000}}"#;
    let mut request = post(&harness.endpoint, "/model/emulator.long/converse", body);
    request.headers_mut().insert("authorization", format!("Bearer {}", ada.key).parse().unwrap());
    let answered = send(request, false).await;
    assert_eq!(answered.status, 429, "{answered:?}");
    assert!(answered.message().contains("--max-request-memory"), "{answered:?}");
    let listed = soon(harness.client.quotas()).await.unwrap();
    let of_model = listed.model_quotas[0].tokens_per_minute.unwrap();
    assert!(of_model.used >= 1_000, "{of_model:?}");
    let of_day = listed.caller_quotas.iter().find(|quota| quota.kind() == CallerQuotaKind::TokensPerDay).unwrap();
    let of_caller = of_day.usage.unwrap();
    assert!(of_caller.used >= 1_000, "{of_caller:?}");
}
