//! The link that signs a browser in once: who can use it, and what it leaves.

use std::io::{BufRead, BufReader};

use super::*;
use crate::{
    process::{Serving, outcrop, run},
    stores::Folder,
};

/// A server with a link for ada.
async fn start() -> (Server, String) {
    let server = Server::with(|settings| {
        settings.page_login = Some("ada".to_owned());
        settings.allowed_hosts = vec!["chat.example".to_owned()];
    })
    .await;
    let link = server.link.clone().unwrap();
    (server, link)
}

/// Opens a link as a browser does in which it was pasted.
async fn open(server: &Server, link: &str, headers: &[(&str, &str)]) -> Answer {
    let all = [&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], headers].concat();
    server.ask_for(Method::GET, link, &all, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_with_a_key_of_this_process() {
    let (server, link) = start().await;
    let opened = open(&server, &link, &[]).await;
    assert_eq!((opened.status, &opened.headers["location"]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
    assert_eq!(
        (&opened.headers["cache-control"], &opened.headers["referrer-policy"]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    assert!(opened.cookie().unwrap().ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{:?}", opened.cookie());
    let cookie = opened.sent_back();
    assert!(!link.contains(cookie.trim_start_matches("outcrop=")), "the code is no key");
    assert_eq!(server.session(&cookie).await["caller"], "ada");
    assert_eq!(server.call(Protocol::WebOverHttp1, &[("cookie", &cookie)]).await, ok());
    let again = open(&server, &link, &[]).await;
    assert_eq!((again.status, again.cookie()), (StatusCode::FORBIDDEN, None));
    assert!(String::from_utf8_lossy(&again.body).contains("has been used"), "{:?}", again.body);
    let code = format!("Bearer {}", link.trim_start_matches("/login?code="));
    let as_key = server.call(Protocol::Grpc, &[("authorization", &code), ("te", "trailers")]).await;
    assert_eq!(as_key, refused("CREDENTIALS_INVALID"));
    let another = Server::with(|settings| settings.identity.callers[0] = server.ada.settings.clone()).await;
    let elsewhere = another.call(Protocol::WebOverHttp1, &[("cookie", &cookie)]).await;
    assert_eq!(elsewhere, refused("CREDENTIALS_INVALID"));
    // It ends with its caller.
    let bob = Caller::new("bob");
    let callers = vec![bob.settings];
    server.reload.replace_callers(&IdentitySettings { callers, ..IdentitySettings::default() }).unwrap();
    let removed = server.call(Protocol::WebOverHttp1, &[("cookie", &cookie)]).await;
    assert_eq!(removed, refused("CREDENTIALS_INVALID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_the_link_does_not_use_it() {
    let (server, link) = start().await;
    for (method, headers, status) in [
        (Method::HEAD, &[][..], StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, &[], StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, &[("sec-purpose", "prefetch;prerender")], StatusCode::SERVICE_UNAVAILABLE),
        (Method::GET, &[("host", "evil.example")], StatusCode::FORBIDDEN),
        // It would set a cookie that a network carries unencrypted.
        (Method::GET, &[("host", "chat.example")], StatusCode::FORBIDDEN),
        (Method::GET, &[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (Method::GET, &[("origin", "http://evil.example")], StatusCode::FORBIDDEN),
    ] {
        let answer = server.ask_for(method.clone(), &link, headers, "").await;
        assert_eq!((answer.status, answer.cookie()), (status, None), "{method} {headers:?}");
    }
    for wrong in ["/login", "/login?code=", "/login?code=x", &link.replace("code=", "code=x"), &format!("{link}&a=b")] {
        let answer = open(&server, wrong, &[]).await;
        assert_eq!((answer.status, answer.cookie()), (StatusCode::FORBIDDEN, None), "{wrong}");
    }
    // A terminal in a web page opens it from there.
    assert_eq!(open(&server, &link, &[("sec-fetch-site", "cross-site")]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_a_caller_that_a_reload_has_removed_signs_no_one_in() {
    let (server, link) = start().await;
    let callers = vec![Caller::new("bob").settings];
    server.reload.replace_callers(&IdentitySettings { callers, ..IdentitySettings::default() }).unwrap();
    let answer = open(&server, &link, &[]).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::FORBIDDEN, None));
    assert!(String::from_utf8_lossy(&answer.body).contains("no longer exists"), "{:?}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_link_has_no_such_path() {
    let server = Server::start().await;
    assert_eq!(open(&server, "/login?code=x", &[]).await.status, StatusCode::UPGRADE_REQUIRED);
}

#[test]
fn the_program_prints_the_link_for_the_operator_on_standard_error_alone() {
    let folder = Folder::new("page-link");
    let file = folder.file("outcrop.toml");
    let key = format!("{{ id = \"abcdefghjkmn\", sha256 = \"{}\" }}", "0".repeat(64));
    std::fs::write(&file, format!("[[caller]]\nname = \"ada\"\nkeys = [{key}]\n")).unwrap();
    let mut command =
        outcrop(&["serve", "--local", "--listen", "127.0.0.1:0", "--config", &file, "--page-login", "ada"]);
    let mut serving = Serving::listening(&mut command);
    let wanted = format!("open the page, once and within 10 minutes: {}/login?code=oc_", serving.endpoint);
    let printed = BufReader::new(serving.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(printed.into_iter().any(|line| line.starts_with(&wanted)));
    for (more, said) in [
        (&["--page-login", "eve"][..], "--page-login is \"eve\", and no [[caller]] has this name. There are: ada"),
        (&["--page-login", "ada", "--no-page"], "--page-login needs the page"),
        (&["--page-login", "ada", "--listen", "192.0.2.1:1"], "--page-login works only on a loopback address"),
    ] {
        let all = [&["serve", "--local", "--config", &file], more].concat();
        let (_, error, code) = run(&mut outcrop(&all));
        assert!(error.contains(said) && code == Some(2), "{more:?}: {error}");
    }
}
