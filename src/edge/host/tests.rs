//! Every kind of name and origin that a browser can send.

use axum::body::Body;
use http::{HeaderName, Method};

use super::*;

fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(Method::POST).uri(uri).body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    request.extensions_mut().insert(FromWeb);
    request
}

fn allowed(names: &[&str]) -> AllowedHosts {
    AllowedHosts::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

#[test]
fn only_names_that_the_server_has_are_taken_as_host() {
    let hosts = allowed(&["Chat.Example", "only.example:8443"]);
    for (host, taken) in [
        ("127.0.0.1:50051", true),
        ("192.0.2.7", true),
        ("[::1]:50051", true),
        ("localhost:50051", true),
        ("LOCALHOST.", true),
        ("outcrop.localhost:1", true),
        ("chat.example", true),
        ("CHAT.EXAMPLE.:50051", true),
        ("only.example:8443", true),
        ("only.example", false),
        ("only.example:1", false),
        ("evil.example:50051", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example:50051", false),
        ("127.0.0.1@evil.example", false),
        ("evil.example@127.0.0.1", false),
        ("notlocalhost", false),
        ("[evil.example]", false),
        ("[::1]", true),
        ("[::1]evil.example", false),
        ("[::1", false),
        ("::1", false),
        ("[::1].", false),
        ("[fe80::1%25eth0]", false),
        ("127.0.0.1.", true),
        ("127.0.0.1..", false),
        ("localhost..", false),
        ("localhost:", false),
        ("localhost:99999", false),
        ("localhost:1:2", false),
        ("localhost#.evil.example", false),
        ("localhost/.evil.example", false),
        ("localhost?.evil.example", false),
        ("localhost\\.evil.example", false),
        ("localhost, evil.example", false),
        ("localhost.evil", false),
        ("127.0.0.1.evil", false),
        ("0x7f.0.0.1", false),
        ("2130706433", false),
        ("0177.0.0.1", false),
        ("127.1", false),
        ("", false),
    ] {
        let origin = format!("http://{host}");
        let rebound = request("/", &[("host", host), ("origin", &origin)]);
        assert_eq!(hosts.check_call(&rebound).is_ok(), taken, "{host:?}");
        let file = request("/", &[("host", host)]);
        assert_eq!(hosts.check_file(&file).is_ok(), taken, "{host:?}");
    }
    assert!(
        hosts.check_call(&request("http://evil.example/x", &[("host", "localhost")])).is_err(),
        "HTTP/2, two names"
    );
    assert!(hosts.check_call(&request("/", &[])).is_err(), "no name");
    for twice in [["localhost", "evil.example"], ["evil.example", "localhost"]] {
        assert!(hosts.check_call(&request("/", &twice.map(|host| ("host", host)))).is_err(), "two Host headers");
    }
}

#[test]
fn only_the_own_page_may_call() {
    let hosts = allowed(&["a.example", "chat.example"]);
    let from = |origin, host| hosts.check_call(&request("/", &[("origin", origin), ("host", host)])).is_ok();
    assert!(from("http://127.0.0.1:50051", "127.0.0.1:50051"));
    assert!(from("https://Chat.Example", "chat.example"));
    assert!(!from("http://evil.example", "127.0.0.1:50051"));
    assert!(!from("http://127.0.0.1:1", "127.0.0.1:50051"));
    assert!(!from("http://127.0.0.1:50051.evil.example", "127.0.0.1:50051"));
    assert!(!from("null", "127.0.0.1:50051"));
    assert!(!from("", "127.0.0.1:50051"));
    assert!(!from("127.0.0.1:50051", "127.0.0.1:50051"), "no scheme");
    let own = ("origin", "http://a.example");
    let two = [("host", "a.example"), own, ("origin", "http://evil.example")];
    assert!(hosts.check_call(&request("/", &two)).is_err(), "two origins");
    assert!(hosts.check_call(&request("http://a.example:1/x", &[("origin", "http://a.example:1")])).is_ok(), "HTTP/2");
    assert!(hosts.check_call(&request("/", &[("host", "a.example")])).is_ok(), "no page");
}

#[test]
fn what_the_browser_says_of_the_calling_site_decides() {
    let hosts = allowed(&[]);
    let site = |site, mode| request("/", &[("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
    for (value, taken) in
        [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("x", false)]
    {
        assert_eq!(hosts.check_call(&site(value, "navigate")).is_ok(), taken, "{value}");
        assert_eq!(hosts.check_file(&site(value, "no-cors")).is_ok(), taken, "{value}");
        assert!(hosts.check_file(&site(value, "navigate")).is_ok(), "a link: {value}");
    }
    let two = [("host", "localhost"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
    assert!(hosts.check_call(&request("/", &two)).is_err(), "two sites");
}

#[test]
fn a_grpc_call_is_checked_only_if_a_browser_made_it() {
    let call = |headers: &[(&str, &str)]| {
        let mut request = request("http://outcrop.default.svc:50051/x", headers);
        request.extensions_mut().remove::<FromWeb>();
        allowed(&[]).check_call(&request).is_ok()
    };
    assert!(call(&[]));
    assert!(!call(&[("origin", "http://outcrop.default.svc:50051")]));
    assert!(!call(&[("sec-fetch-site", "same-origin")]));
}

#[test]
fn a_setting_must_be_a_host() {
    for host in ["chat.example", "chat.example:8443", "a", "[::1]:1", "10.0.0.1"] {
        assert!(is_host(host), "{host}");
    }
    for wrong in
        ["", "http://chat.example", "chat.example/x", "chat.example:", "chat.example:x", "a b", "*.example", "a:99999"]
    {
        assert!(!is_host(wrong), "{wrong}");
    }
}
