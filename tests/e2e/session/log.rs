//! What is in no log line of a sign-in, at the finest filter, and in no line of the audit log: the key, the cookie, the code of the link.

use std::{io::Read, os::unix::fs::PermissionsExt};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use outcrop::identity::key::NewKey;
use serde_json::json;

use crate::{harness::soon, process::Serving, stores::Folder};

/// One request as the page makes it, and the text of its answer with all headers.
async fn ask(endpoint: &str, line: &str, cookie: &str, body: String) -> String {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder()
        .method(method)
        .uri(format!("{endpoint}{path}"))
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let http = Http::builder(TokioExecutor::new()).build_http();
    let (parts, body) = soon(http.request(request)).await.unwrap().into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    format!("{} {:?} {}", parts.status, parts.headers, String::from_utf8_lossy(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_of_a_sign_in_has_a_credential() {
    let folder = Folder::new("page-log");
    let (config, audit) = (folder.file("outcrop.toml"), folder.file("audit.log"));
    let [key, wrong] = [(); 2].map(|()| NewKey::generate().unwrap());
    let line = format!("keys = [{{ id = \"{}\", sha256 = \"{}\" }}]", key.id(), key.sha256());
    std::fs::write(&config, format!("[[caller]]\nname = \"ada\"\n{line}\n")).unwrap();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut serving =
        Serving::start(&["--config", &config, "--audit-log", &audit, "--log", "trace", "--page-login", "ada"]);
    let mut log = serving.child.stderr.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    let endpoint = serving.endpoint.clone();
    let cookie = |credential: &str| format!("outcrop={credential}");
    let too_long = "durian".repeat(1_000);
    for credential in [key.text(), wrong.text(), &too_long] {
        let body = json!({ "credential": credential }).to_string();
        ask(&endpoint, "POST /session", "", body.clone()).await;
        ask(&endpoint, "POST /session", "", format!("{body}, and more")).await;
        for method in ["GET", "DELETE", "PUT"] {
            ask(&endpoint, &format!("{method} /session"), &cookie(credential), String::new()).await;
        }
        ask(&endpoint, &format!("GET /login?code={credential}"), "", String::new()).await;
    }
    assert!(ask(&endpoint, "GET /session", &cookie(key.text()), String::new()).await.contains("\"caller\":\"ada\""));
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let log = soon(reading).await.unwrap().unwrap();
    let (printed, logged): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.starts_with("open the page, once"));
    let code = printed[0].rsplit("code=").next().unwrap();
    let said = format!("{}\n{}", logged.join("\n"), std::fs::read_to_string(&audit).unwrap());
    assert!(said.contains("signed in to the page") && said.contains("CREDENTIALS_INVALID"), "{said}");
    for secret in [key.text(), wrong.text(), code].map(|key| &key[16..]).into_iter().chain(["durian"]) {
        let found: Vec<_> = said.lines().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
