//! Fuzz functions for what callers and operators write.

use std::{sync::OnceLock, time::Duration};

use aws_sdk_bedrockruntime::{Client, Config, config::BehaviorVersion};
use axum::extract::Request;
use clap::Parser;
use prost::Message;

use crate::{
    bedrock::{converse, invoke},
    config::{Cli, Command, Inputs, Layers, in_force},
    edge::{
        grpc::time_left,
        host::{self, AllowedHosts},
    },
    json as free_json,
    proto::GenerateRequest,
    request::{self, Rules, native},
};

/// A GenerateRequest as it comes over the wire: what is not refused can be handed to Bedrock, by either operation.
pub fn request(data: &[u8]) {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let Ok(request) = GenerateRequest::decode(data) else { return };
    let rules = Rules { default_model: Some("a.model".to_owned()), ..Rules::default() };
    let Ok((checked, _)) = request::check(request, &rules) else { return };
    for target in &checked.route {
        let request = checked.request.at(target);
        if native::is_native(request.get()) {
            let body = invoke::body(request.get());
            assert!(body.is_ok() || !request.get().native_body.is_empty(), "{:?}", body.err());
        } else if request.get().native_body.is_empty() {
            let client = CLIENT.get_or_init(|| {
                Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build())
            });
            let operation = converse::stream(client, request);
            assert!(operation.is_ok(), "what the check has let through is no request: {:?}", operation.err());
        }
    }
}

/// Arguments of `outcrop serve`, one a line: they are settings, or problems that say what to write instead.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let arguments = ["outcrop", "serve"].into_iter().chain(text.lines());
    let Ok(Cli { command: Command::Serve(arguments), .. }) = Cli::try_parse_from(arguments) else { return };
    match arguments.resolve(&Layers::default()) {
        Ok(settings) => {
            assert!(settings.attempts > 0 && settings.max_request_bytes > 0);
            assert!(settings.allowed_hosts.iter().all(|name| host::is_host(name)));
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// A configuration file: it is settings, or problems that each have a place. What it says in one go it says again.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let inputs = Inputs::new(["outcrop", "serve", "--local", "--config", "o.toml"], []);
    let resolved = || {
        let (cli, layers) = inputs.load_with(|_| Ok(text.to_owned())).ok()?;
        let Command::Serve(arguments) = cli.command else { return None };
        Some((arguments.resolve(&layers), in_force(&layers)))
    };
    let first = resolved();
    assert!(first.is_some(), "the command line is valid");
    match &first {
        Some((Ok(settings), printed)) => {
            assert!(settings.attempts > 0);
            assert!(settings.identity.callers.iter().all(|caller| !caller.name.is_empty()));
            assert!(toml::from_str::<toml::Table>(printed).is_ok(), "what is in force is a file: {printed}");
        }
        Some((Err(problems), _)) => assert!(!problems.0.is_empty()),
        None => {}
    }
    assert_eq!(format!("{first:?}"), format!("{:?}", resolved()));
}

/// Headers of a call: `grpc-timeout` on the first line, `host` and `origin` on the next two.
pub fn headers(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut request = Request::builder();
    for name in ["grpc-timeout", "host", "origin"] {
        request = request.header(name, lines.next().unwrap_or_default());
    }
    let Ok(request) = request.body(axum::body::Body::empty()) else { return };
    let left = time_left(request.headers());
    assert!(left.is_none_or(|left| left <= Duration::from_hours(99_999_999)));
    if AllowedHosts::new(&[]).check_call(&request).is_ok() {
        let named = request.headers().get("host").and_then(|name| name.to_str().ok());
        assert!(named.is_some_and(host::is_host), "a browser's call is taken under {named:?}");
    }
}

/// Free JSON: what is read comes back the same, and can be encoded and decoded.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(value) = free_json::parse(text) else { return };
    assert_eq!(free_json::check_nesting(&value), Ok(()));
    let decoded = prost_types::Value::decode(value.encode_to_vec().as_slice());
    assert_eq!(decoded.as_ref(), Ok(&value));
    let again = free_json::to_value(free_json::from_value(&value));
    assert_eq!(again, value);
}
