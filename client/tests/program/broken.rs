//! Servers that break off in the middle of an answer, each in another way: never a success, and never in silence.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{HeaderMap, Response};
use outcrop_client::proto::{Chunk, chunk::Event};
use prost::Message;
use tokio::{io::AsyncReadExt, net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};

use crate::harness::{TIMEOUT, client};

/// How the server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The connection is reset, as it is when the process is killed with unread data.
    TcpReset,
    /// The connection is closed, as it is when the process is killed.
    TcpClose,
    /// `RST_STREAM`.
    Reset(Reason),
    /// `GOAWAY` with an error.
    GoAway(Reason),
    /// The stream ends without trailers.
    WithoutTrailers,
    /// The stream ends with trailers that hold no status.
    WithoutStatus,
}

const ENDS: [End; 9] = [
    End::TcpReset,
    End::TcpClose,
    End::Reset(Reason::NO_ERROR),
    End::Reset(Reason::CANCEL),
    End::Reset(Reason::INTERNAL_ERROR),
    End::GoAway(Reason::NO_ERROR),
    End::GoAway(Reason::INTERNAL_ERROR),
    End::WithoutTrailers,
    End::WithoutStatus,
];

fn message(sequence: u32, event: Event) -> Vec<u8> {
    let chunk = Chunk { sequence: Some(sequence), event: Some(event), ..Chunk::default() }.encode_to_vec();
    let length = u32::try_from(chunk.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &chunk].concat()
}

/// Answers one call: with the first two chunks, or with none. When it is told to, it ends so.
async fn serve(listener: TcpListener, end: End, with_content: bool, go: oneshot::Receiver<()>) {
    let (tcp, _) = listener.accept().await.unwrap();
    if let End::TcpReset = end {
        tcp.set_zero_linger().unwrap();
    }
    let mut connection = h2::server::handshake(tcp).await.unwrap();
    let (_, mut respond): (_, SendResponse<Bytes>) = connection.accept().await.unwrap().unwrap();
    let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(response, false).unwrap();
    if with_content {
        let start = message(0, Event::Start(Box::default()));
        stream.send_data([start, message(1, Event::Text("half".to_owned()))].concat().into(), false).unwrap();
    }
    tokio::select! {
        _ = poll_fn(|cx| connection.poll_closed(cx)) => return,
        told = go => told.unwrap(),
    }
    match end {
        End::TcpReset | End::TcpClose => return,
        End::Reset(reason) => stream.send_reset(reason),
        End::GoAway(reason) => connection.abrupt_shutdown(reason),
        End::WithoutTrailers => stream.send_data(Bytes::new(), true).unwrap(),
        End::WithoutStatus => stream.send_trailers(HeaderMap::new()).unwrap(),
    }
    let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
}

/// Standard output, standard error and the exit code of the program with such a server.
async fn outcome(end: End, with_content: bool, flags: &[&str]) -> (String, String, Option<i32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (told, go) = oneshot::channel();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, end, with_content, go));
    let mut child = client(&endpoint, &["hi"]).args(flags).spawn().unwrap();
    let run = async {
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut printed = Vec::new();
        while with_content && !String::from_utf8_lossy(&printed).contains("half") {
            assert!(out.read_buf(&mut printed).await.unwrap() > 0, "{end:?}: it ended before it printed");
        }
        told.send(()).unwrap();
        let mut said = String::new();
        err.read_to_string(&mut said).await.unwrap();
        out.read_to_end(&mut printed).await.unwrap();
        (String::from_utf8(printed).unwrap(), said, child.wait().await.unwrap().code())
    };
    timeout(TIMEOUT, run).await.unwrap_or_else(|_| panic!("{end:?} hangs"))
}

#[tokio::test]
async fn a_server_that_breaks_off_is_an_error_that_says_that_the_answer_is_not_whole() {
    for end in ENDS {
        let (out, err, code) = outcome(end, true, &[]).await;
        assert_eq!((out.as_str(), code), ("half\n", Some(7)), "{end:?}: {err}");
        assert!(err.contains("what was printed is not the complete answer"), "{end:?}: {err}");
        let says =
            ["the connection to the server broke", "stream was terminated without a final status", "without a finish"];
        assert!(says.iter().any(|words| err.contains(words)), "{end:?}: {err}");
        assert!(!err.contains("h2 protocol error") && !err.contains("transport error"), "{end:?}: {err}");
    }
}

#[tokio::test]
async fn with_json_as_well() {
    for end in ENDS {
        let (out, err, code) = outcome(end, true, &["--json"]).await;
        assert_eq!((out.lines().count(), code), (3, Some(7)), "{end:?}: {err}");
        let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(last["error"]["phase"], "after_content", "{end:?}: {last}");
        assert!(err.contains("what was printed is not the complete answer"), "{end:?}: {err}");
    }
}

#[tokio::test]
async fn where_nothing_was_printed_nothing_is_said_of_it() {
    for end in ENDS {
        let (out, err, code) = outcome(end, false, &[]).await;
        assert_eq!((out.as_str(), code), ("", Some(1)), "{end:?}: {err}");
        assert!(err.starts_with("outcrop-client: ") && !err.contains("what was printed"), "{end:?}: {err}");
    }
}
