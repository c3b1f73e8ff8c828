//! Where the prompt comes from: words, a pipe, a file, both, and inputs that are not read.

use std::{fs::File, os::unix::net::UnixStream, process::Stdio};

use bedrock_emulator::Config;
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::harness::{Server, TIMEOUT, client, run};

/// The prompt that Bedrock got.
fn prompt(server: &Server) -> String {
    server.emulator.last_request().unwrap().body["messages"][0]["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn words_are_joined_and_a_pipe_is_appended() {
    let server = Server::start(Config::default()).await;
    for (words, input, expected) in [
        (&["hello", "there"][..], "", "hello there"),
        (&["summarise", "this"], "a\nb\n", "summarise this\n\na\nb\n"),
        (&["summarise this", "-"], "a", "summarise this\n\na"),
        (&["-"], "a\n", "a\n"),
        (&[], "a\n", "a\n"),
        (&["3 - 2", "--", "--quiet"], "", "3 - 2 --quiet"),
    ] {
        let (_, err, code) = run(server.client(words), input).await;
        assert_eq!((prompt(&server).as_str(), code), (expected, Some(0)), "{words:?}: {err}");
    }
}

#[tokio::test]
async fn a_file_is_appended() {
    let server = Server::start(Config::default()).await;
    let path = std::env::temp_dir().join(format!("outcrop-client-prompt-{}", std::process::id()));
    std::fs::write(&path, "from a file").unwrap();
    let output = server.client(&["summarise"]).stdin(File::open(&path).unwrap()).output().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((prompt(&server).as_str(), output.status.code()), ("summarise\n\nfrom a file", Some(0)));
}

#[tokio::test]
async fn an_input_that_is_no_pipe_and_no_file_is_not_waited_for() {
    let server = Server::start(Config::default()).await;
    // Its other end stays open, as that of a parent process that passes on its own input.
    let (input, _open) = UnixStream::pair().unwrap();
    let inputs = [Stdio::null(), Stdio::from(std::os::fd::OwnedFd::from(input))];
    for input in inputs {
        let output = timeout(TIMEOUT, server.client(&["hi"]).stdin(input).output()).await.unwrap().unwrap();
        assert_eq!((prompt(&server).as_str(), output.status.code()), ("hi", Some(0)));
    }
    let output = timeout(TIMEOUT, client("http://127.0.0.1:1", &[]).output()).await.unwrap().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("there is no prompt"), "{err}");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_silent_pipe_is_an_error_unless_it_is_asked_for() {
    let server = Server::start(Config::default()).await;
    let mut asked_for = server.client(&["summarise", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut child = server.client(&["summarise"]).stdin(Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take();
    let output = timeout(TIMEOUT, child.wait_with_output()).await.unwrap().unwrap();
    drop(open);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("sent nothing for 10 s") && err.contains("</dev/null"), "{err}");
    assert_eq!(output.status.code(), Some(2));
    assert!(server.emulator.last_request().is_none());
    asked_for.stdin.take().unwrap().write_all(b"late").await.unwrap();
    let output = timeout(TIMEOUT, asked_for.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((prompt(&server).as_str(), output.status.code()), ("summarise\n\nlate", Some(0)));
}
