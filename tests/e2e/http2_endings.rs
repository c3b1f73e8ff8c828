//! Every way in which HTTP/2 can end an answer, at every event: OK comes after the terminal event, and only then.

use bedrock_emulator::{At, FaultKind, Script};

use crate::{
    harness::{Outcome, collect, request, soon, text_of},
    process::Remote,
};

/// The frames of the answer: messageStart, four words, contentBlockStop, messageStop, metadata.
const FRAMES: usize = 8;

/// The first place at which messageStop has gone out.
const STOPPED: usize = 7;

/// Every error code that RFC 9113 defines, and one that it does not.
const CODES: [u32; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xdead];

const ANSWER: &str = "One two three four";

/// The answer with this fault before this frame, or after the last one.
async fn play(remote: &Remote, kind: FaultKind, at: usize) -> Outcome {
    let mut script = Script::reply(ANSWER).fault(kind, At::Event(at));
    if at == FRAMES {
        // The fault needs a frame that it comes before: it is never sent.
        script.steps.push(bedrock_emulator::Step::text("never"));
    }
    let model = remote.emulator.register("ending", script);
    let client = remote.clients(1).await.remove(0);
    match soon(client.generate(request(&model))).await {
        Ok(chunks) => soon(collect(chunks)).await,
        Err(error) => Outcome { chunks: Vec::new(), result: Err(error) },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_an_answer_over_http2_it_is_ok_only_after_the_terminal_event() {
    let remote = Remote::start(&["--attempts", "1"]).await;
    let kinds = CODES.into_iter().map(FaultKind::ResetStream);
    let kinds = kinds.chain([FaultKind::End, FaultKind::Cut, FaultKind::Reset, FaultKind::Disconnect]);
    for kind in kinds {
        for at in 0..=FRAMES {
            let Outcome { chunks, result } = play(&remote, kind, at).await;
            let text = text_of(&chunks);
            assert!(ANSWER.starts_with(&text), "{kind:?} at {at}: {text:?}");
            match result {
                Ok(()) => assert!(at >= STOPPED && text == ANSWER, "{kind:?} at {at} is a false OK"),
                Err(outcrop_client::ClientError::Call(error)) => {
                    assert!(at < STOPPED, "{kind:?} at {at}: {error}");
                    // A reset can arrive together with the headers. Then there is no answer that it truncates.
                    let has_no_answer = chunks.is_empty() && error.reason == "UPSTREAM_UNREACHABLE";
                    assert!(has_no_answer || error.reason == "UPSTREAM_TRUNCATED", "{kind:?} at {at}: {error}");
                }
                Err(other) => panic!("{kind:?} at {at}: {other}"),
            }
        }
    }
    soon(remote.quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_runs_on_when_its_connection_goes_away() {
    let remote = Remote::start(&["--attempts", "1"]).await;
    for at in 0..FRAMES {
        let answer = play(&remote, FaultKind::GoAway, at).await;
        assert_eq!(text_of(&answer.whole()), ANSWER, "GOAWAY before frame {at}");
    }
    soon(remote.quiet()).await;
    assert_eq!(remote.emulator.stats().connections, FRAMES as u64, "each call has its own connection after a GOAWAY");
}
