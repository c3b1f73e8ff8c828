//! Handshakes are bounded in time, and those that do not end stop no other.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use super::{
    authority::Files,
    is_served,
    wire::{Dial, address},
};
use crate::harness::{Harness, soon};

const SILENT: usize = 1_000;

/// The beginning of a `ClientHello` of 512 bytes, of which the rest does not come.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_handshakes_and_slow_ones_stop_no_other_and_end_in_time() {
    outcrop::app::raise_file_limit();
    let files = Files::new("silent");
    let ca = files.authority.pem();
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.settings());
        settings.connections.handshake_timeout = Duration::from_secs(5);
        (settings.connections.max, settings.connections.max_per_address) = (2_000, 2_000);
    };
    let harness = Harness::connecting(change, |client| client.trusting(ca.as_bytes())).await;
    let mut stalled = JoinSet::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(address(&harness.endpoint)).await.unwrap();
        stalled.spawn(async move {
            match number % 3 {
                0 => {}
                1 => stream.write_all(HALF_A_HELLO).await.unwrap(),
                // One byte now and then does not extend the time.
                _ => {
                    for byte in HALF_A_HELLO.iter().chain(&[0; 100]) {
                        if stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        sleep(Duration::from_millis(200)).await;
                    }
                }
            }
            // Closed or reset by the server.
            let _ = stream.read(&mut [0]).await;
        });
    }
    soon(harness.counted("connections_open", &[], SILENT as u64 + 1)).await;
    // All are open, and handshakes of others complete.
    for _ in 0..20 {
        Dial::trusting(&ca).connect(&harness.endpoint).await.unwrap();
    }
    is_served(&harness).await;
    assert_eq!(harness.count("tls_handshakes_total", &["outcome=\"completed\""]), 21);
    while let Some(ended) = soon(stalled.join_next()).await {
        ended.unwrap();
    }
    soon(harness.counted("connections_open", &[], 1)).await;
    is_served(&harness).await;
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_affects_no_other() {
    let files = Files::new("garbage");
    let harness = super::server(&files).await;
    for garbage in [&[0x16; 4096][..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", &[0; 100]]
    {
        let mut stream = TcpStream::connect(address(&harness.endpoint)).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        // Closed or reset, either is an answer to garbage.
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
    is_served(&harness).await;
}
