//! The page over TLS: the cookie of its sign-in, and the header that demands https.

use outcrop::identity::settings::IdentitySettings;

use super::{
    authority::Files,
    wire::{Dial, exchange},
};
use crate::{callers::Caller, harness::Harness};

/// A request over HTTP/1.1 as the page of this host sends it.
fn request(line: &str, host: &str, headers: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nsec-fetch-site: same-origin\r\n\
         content-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A server with TLS that one caller may call, and a name that it is known by.
async fn start(name: &str) -> (Files, Caller, Harness) {
    let (files, ada) = (Files::new(name), Caller::new("ada"));
    let (ca, tls, callers) = (files.authority.pem(), files.settings(), vec![ada.settings.clone()]);
    let harness = Harness::connecting(
        |settings| {
            settings.tls = Some(tls);
            settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
            settings.allowed_hosts = vec!["chat.example".to_owned()];
        },
        |client| client.trusting(ca.as_bytes()),
    )
    .await;
    (files, ada, harness)
}

async fn ask(files: &Files, harness: &Harness, request: &str) -> String {
    let mut stream = Dial::trusting(&files.authority.pem()).connect(&harness.endpoint).await.unwrap();
    String::from_utf8_lossy(&exchange(&mut stream, request.as_bytes()).await.0).into_owned()
}

#[tokio::test]
async fn the_cookie_is_one_that_only_this_host_sets_and_only_https_sends() {
    let (files, ada, harness) = start("cookie").await;
    let body = format!("{{\"credential\": \"{}\"}}", ada.key);
    for host in ["chat.example", "127.0.0.1", "localhost:50051"] {
        let sign_in = request("POST /session", host, "content-type: application/json\r\n", &body);
        let answer = ask(&files, &harness, &sign_in).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        let cookie = format!("set-cookie: __Host-outcrop={}; Path=/; HttpOnly; SameSite=Strict; Secure\r\n", ada.key);
        assert!(answer.contains(&cookie), "{answer}");
        for (name, caller) in [("__Host-outcrop", "\"caller\":\"ada\""), ("outcrop", "\"caller\":null")] {
            let session = request("GET /session", host, &format!("cookie: {name}={}\r\n", ada.key), "");
            let answer = ask(&files, &harness, &session).await;
            assert!(answer.contains(caller), "{host} {name}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_browser_is_told_to_use_https_for_a_name_and_not_for_what_other_servers_are_called() {
    let (files, _ada, harness) = start("hsts").await;
    for (host, told) in
        [("chat.example", true), ("chat.example:50051", true), ("localhost", false), ("127.0.0.1", false)]
    {
        for line in ["GET /", "GET /page.js", "GET /session", "GET /elsewhere"] {
            let answer = ask(&files, &harness, &request(line, host, "", "")).await;
            let header = "strict-transport-security: max-age=31536000\r\n";
            assert_eq!(answer.contains(header), told, "{line} {host}: {answer}");
        }
    }
    let plain = Harness::with(|settings| settings.allowed_hosts = vec!["chat.example".to_owned()]).await;
    let mut stream = tokio::net::TcpStream::connect(plain.endpoint.rsplit('/').next().unwrap()).await.unwrap();
    let sent = request("GET /", "chat.example", "", "");
    tokio::io::AsyncWriteExt::write_all(&mut stream, sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("strict-transport-security"), "{answer}");
}
