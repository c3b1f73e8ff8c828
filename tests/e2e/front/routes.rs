//! Every route of the API passes the gates of the methods. The routes are those that the server names, so one that is added is tested too.

use std::{fs, num::NonZeroU32};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use outcrop::{
    audit::{AuditSettings, WhenFull},
    config::Settings,
    identity::settings::{CallerSettings, PermissionSettings},
};

use super::caller::{Answered, send, serving};
use crate::{callers::Caller, harness::Harness};

/// A request, with a body if its method has one.
async fn ask(harness: &Harness, (method, path): &(Method, String), key: &str) -> Answered {
    let body = if method == Method::GET { Bytes::new() } else { Bytes::from_static(b"{\"messages\":[]}") };
    let mut request = Request::builder().method(method).uri(format!("{}{path}", harness.endpoint));
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    send(request.body(Full::new(body)).unwrap(), false).await
}

/// The routes that the answer to an unknown one names.
async fn routes(harness: &Harness) -> Vec<(Method, String)> {
    let unknown = ask(harness, &(Method::POST, "/model/a.model/unknown".to_owned()), "").await;
    assert_eq!(unknown.exception(), "UnknownOperationException");
    let message = unknown.message();
    let (_, listed) = message.split_once("There are: ").unwrap();
    let routes: Vec<_> = listed
        .split(", ")
        .map(|route| {
            let (method, path) = route.split_once(' ').unwrap();
            (method.parse().unwrap(), path.replace("ID", "a.model"))
        })
        .collect();
    assert!(routes.len() >= 7, "{message}");
    routes
}

/// A server with one caller.
async fn with_caller(permissions: PermissionSettings, change: impl FnOnce(&mut Settings)) -> (Harness, Caller) {
    let caller = Caller::new("ada");
    let settings = CallerSettings { permissions, ..caller.settings.clone() };
    let harness = serving(|server| {
        server.identity.callers = vec![settings];
        change(server);
    })
    .await;
    (harness, caller)
}

#[tokio::test]
async fn every_route_asks_who_calls_and_what_the_caller_may() {
    let methods = Some(["GetConversation".to_owned()].into());
    let (harness, caller) = with_caller(PermissionSettings { methods, ..Default::default() }, |_| {}).await;
    for route in routes(&harness).await {
        let anonymous = ask(&harness, &route, "").await;
        assert_eq!(anonymous.exception(), "MissingAuthenticationTokenException", "{route:?}: {anonymous:?}");
        let forbidden = ask(&harness, &route, &caller.key).await;
        assert_eq!(forbidden.exception(), "AccessDeniedException", "{route:?}: {forbidden:?}");
    }
    assert_eq!((harness.emulator.stats().requests, harness.emulator.listings()), (0, 0));
}

#[tokio::test]
async fn every_route_has_the_limits_of_its_method_and_is_counted() {
    let one = NonZeroU32::new(1);
    let routes = routes(&serving(|_| {}).await).await;
    for route in routes {
        let (harness, caller) = with_caller(PermissionSettings::default(), |settings| {
            settings.limits.requests_per_minute = one;
            settings.limits.other_requests_per_minute = one;
        })
        .await;
        let first = ask(&harness, &route, &caller.key).await;
        assert_ne!(first.status, StatusCode::TOO_MANY_REQUESTS, "{route:?}: {first:?}");
        let second = ask(&harness, &route, &caller.key).await;
        assert_eq!(second.exception(), "ThrottlingException", "{route:?}: {second:?}");
        assert_eq!(harness.count("calls_total", &[]), 2, "{route:?}");
    }
}

#[tokio::test]
async fn every_route_has_its_line_in_the_audit_log() {
    let path = std::env::temp_dir().join(format!("outcrop-e2e-routes-{}.log", std::process::id()));
    let (mut harness, caller) = with_caller(PermissionSettings::default(), |settings| {
        settings.audit = Some(AuditSettings { path: path.clone(), when_full: WhenFull::Refuse });
    })
    .await;
    let routes = routes(&harness).await;
    for route in &routes {
        ask(&harness, route, &caller.key).await;
    }
    harness.begin_shutdown();
    harness.ended().await;
    let log = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(log.matches(r#""event":"call""#).count(), routes.len(), "{log}");
}

#[tokio::test]
async fn every_route_with_a_body_has_the_limit_of_its_length() {
    let harness = serving(|settings| settings.max_request_bytes = 10).await;
    for route in routes(&harness).await.iter().filter(|(method, _)| method != Method::GET) {
        let refused = ask(&harness, route, "").await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{route:?}: {refused:?}");
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}
