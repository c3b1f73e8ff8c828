//! Files that change under a running server: no stream is dropped, new connections see the new files, and bad files change nothing.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::symlink,
    sync::{Arc, Mutex},
    time::Duration,
};

use outcrop::audit::{AuditSettings, WhenFull};
use outcrop_client::{Client, proto::chunk::Event};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{task::JoinSet, time::sleep};

use super::{
    authority::{Authority, Files, Issued, write},
    is_served, server,
    wire::{Dial, exchange},
};
use crate::{
    harness::{Harness, request, soon},
    process::{Serving, outcrop},
    stores::Folder,
};

const STREAMS: usize = 200;
const NAME: &str = "spiffe://example.org/billing";

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Waits until the server shows this certificate.
async fn shows(dial: &Dial, endpoint: &str, issued: &Issued) {
    let shown = async {
        while dial.shown(endpoint).await.ok() != Some(der(issued)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(shown).await;
}

/// Whether a client with this certificate gets an answer.
async fn is_let_in(endpoint: &str, ca: &str, client: &Issued) -> io::Result<bool> {
    let mut stream = Dial::identified(ca, client).connect(endpoint).await?;
    let (answer, ended) =
        exchange(&mut stream, b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    ended.map(|()| answer.starts_with(b"HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_key_and_authorities_are_swapped_under_200_streams_and_none_drops() {
    let files = Files::new("swap");
    let (ca, old_client) = (files.authority.pem(), files.authority.client(&[NAME]));
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.asking(true));
        settings.attempts = 1;
    };
    let build = |client: outcrop_client::ClientBuilder| old_client.identify(client.trusting(ca.as_bytes()));
    let harness = Harness::connecting(change, build).await;
    // Several connections, as callers have.
    let mut clients = vec![harness.client.clone()];
    for _ in 0..9 {
        clients.push(build(Client::builder(&harness.endpoint)).connect().await.unwrap());
    }
    let mut running = JoinSet::new();
    let (swapped, wait) = tokio::sync::watch::channel(false);
    for number in 0..STREAMS {
        let (client, mut wait) = (clients[number % clients.len()].clone(), wait.clone());
        running.spawn(async move {
            let mut chunks = client.generate(request("emulator.endless")).await.unwrap();
            let mut after = 0;
            // Each reads before, during and after the swap.
            while after < 20 {
                let chunk = chunks.next().await.unwrap().expect("the stream goes on");
                assert!(!matches!(chunk.event, Some(Event::Finish(_))));
                after += usize::from(*wait.borrow_and_update());
            }
        });
    }
    drop(wait);
    soon(harness.counted("streams_running", &[], STREAMS as u64)).await;
    // Another authority for everything.
    let second = Authority::new("second");
    let (new, new_client) = (second.server(), second.client(&[NAME]));
    files.write(&new);
    files.write_authority(&second);
    shows(&Dial::identified(&second.pem(), &new_client), &harness.endpoint, &new).await;
    soon(async {
        while !is_let_in(&harness.endpoint, &second.pem(), &new_client).await.unwrap_or(false) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let refused = is_let_in(&harness.endpoint, &second.pem(), &old_client).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownCA"), "the old authority is trusted no more: {refused}");
    let _ = swapped.send(true);
    while let Some(stream) = soon(running.join_next()).await {
        stream.unwrap();
    }
    // Connections from before the swap take new calls too.
    is_served(&harness).await;
    assert_eq!(harness.count("streams_failed_total", &[]), 0);
}

#[tokio::test]
async fn files_that_cannot_be_used_change_nothing_and_the_next_good_ones_are_used() {
    let files = Files::new("bad-swap");
    let harness = server(&files).await;
    let dial = Dial::trusting(&files.authority.pem());
    let old = dial.shown(&harness.endpoint).await.unwrap();
    let (good, other) = (files.authority.server(), files.authority.server());
    let half = &good.certificate[..good.certificate.len() / 2];
    for (what, certificate, key) in [
        ("a key of another certificate", good.certificate.as_str(), other.key.as_str()),
        ("half of a certificate", half, good.key.as_str()),
        ("no certificate", "", good.key.as_str()),
        ("half of a key", good.certificate.as_str(), &good.key[..good.key.len() / 2]),
    ] {
        write(&files.path("cert.pem"), certificate);
        write(&files.path("key.pem"), key);
        // Several intervals.
        sleep(Duration::from_millis(300)).await;
        assert_eq!(dial.shown(&harness.endpoint).await.unwrap(), old, "{what}");
    }
    fs::remove_file(files.path("key.pem")).unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(dial.shown(&harness.endpoint).await.unwrap(), old, "no key");
    is_served(&harness).await;
    files.write(&good);
    shows(&dial, &harness.endpoint, &good).await;
}

#[tokio::test]
async fn the_symlinks_of_a_kubernetes_secret_are_followed() {
    let folder = Folder::new("tls-kubernetes");
    let authority = Authority::new("first");
    // ..data leads to a folder with a date, and the files lead into ..data. A new secret is a new folder, and a rename of ..data.
    let version = |name: &str, issued: &Issued| {
        fs::create_dir(folder.file(name)).unwrap();
        write(&folder.file(&format!("{name}/tls.crt")), &issued.certificate);
        write(&folder.file(&format!("{name}/tls.key")), &issued.key);
        symlink(name, folder.file("..data_tmp")).unwrap();
        fs::rename(folder.file("..data_tmp"), folder.file("..data")).unwrap();
    };
    version("..2026_01", &authority.server());
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), folder.file(file)).unwrap();
    }
    let tls = outcrop::config::TlsSettings {
        certificate: folder.file("tls.crt").into(),
        key: folder.file("tls.key").into(),
        clients: None,
        reload_interval: Duration::from_millis(50),
    };
    let ca = authority.pem();
    let harness =
        Harness::connecting(|settings| settings.tls = Some(tls), |client| client.trusting(ca.as_bytes())).await;
    let renewed = authority.server();
    version("..2026_02", &renewed);
    fs::remove_dir_all(folder.file("..2026_01")).unwrap();
    shows(&Dial::trusting(&ca), &harness.endpoint, &renewed).await;
    is_served(&harness).await;
}

#[tokio::test]
async fn a_swap_is_in_the_audit_log() {
    let files = Files::new("audit");
    let ca = files.authority.pem();
    let path = std::path::PathBuf::from(files.path("audit.log"));
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.settings());
        settings.audit = Some(AuditSettings { path: path.clone(), when_full: WhenFull::Drop });
    };
    let harness = Harness::connecting(change, |client| client.trusting(ca.as_bytes())).await;
    let renewed = files.authority.server();
    files.write(&renewed);
    shows(&Dial::trusting(&ca), &harness.endpoint, &renewed).await;
    let line = async {
        loop {
            let log = fs::read_to_string(&path).unwrap();
            if let Some(line) = log.lines().find(|line| line.contains("\"tls_reload\"")) {
                return serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(soon(line).await["expires"], "4096-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_bad_swap_is_logged_once_with_what_to_do_and_a_good_one_with_its_expiry() {
    let files = Files::new("log");
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut command = outcrop(&[&["serve", "--local", "--listen", "127.0.0.1:0"], &flags[..]].concat());
    let mut serving = Serving::listening(&mut command);
    let log = Arc::new(Mutex::new(String::new()));
    let (lines, kept) = (BufReader::new(serving.child.stderr.take().unwrap()).lines(), Arc::clone(&log));
    let reading = std::thread::spawn(move || {
        for line in lines {
            *kept.lock().unwrap() += &(line.unwrap() + "\n");
        }
    });
    let good = files.authority.server();
    write(&files.path("cert.pem"), &good.certificate);
    // The server reads the files every two seconds, and the next reads find the same.
    soon(async {
        while !log.lock().unwrap().contains("cannot be used, so connections use those from before") {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    files.write(&good);
    shows(&Dial::trusting(&files.authority.pem()), &serving.endpoint, &good).await;
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    reading.join().unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.matches("cannot be used, so connections use those from before").count(), 1, "{log}");
    assert!(log.contains("which is not the key of the first certificate"), "{log}");
    let changed = log.lines().find(|line| line.contains("the files of TLS have changed")).expect(&log);
    assert!(changed.contains("expires=\"4096-01-01T00:00:00Z\""), "{changed}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test]
async fn sighup_reads_the_files_and_does_not_end_the_server() {
    let files = Files::new("sighup");
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let serving = Serving::start(&flags);
    let dial = Dial::trusting(&files.authority.pem());
    let old = dial.shown(&serving.endpoint).await.unwrap();
    for _ in 0..3 {
        serving.signal("-HUP");
    }
    assert_eq!(dial.shown(&serving.endpoint).await.unwrap(), old);
    let renewed = files.authority.server();
    files.write(&renewed);
    serving.signal("-HUP");
    shows(&dial, &serving.endpoint, &renewed).await;
}
