//! Tests of the flags and of everything that can be wrong with them.

mod aliases;
mod budgets;
mod identity;
mod layering;
mod quotas;
mod telemetry;

use std::os::unix::fs::PermissionsExt;

use outcrop_secret_file::ExposeSecret;

pub(super) use self::layering::TestFile;
use super::*;
use crate::error::ConfigError;

fn serve(flags: &[&str]) -> Result<Settings, ConfigError> {
    let (cli, layers) = Inputs::new([&["outcrop", "serve"], flags].concat(), []).load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    args.resolve(&layers)
}

#[test]
fn the_defaults_are_usable_and_those_of_a_local_server() {
    let settings = serve(&["--local"]).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:50051".parse().unwrap());
    assert_eq!(settings.rules.default_model.as_deref(), Some("emulator.default"));
    assert!(serve(&[]).unwrap().rules.default_model.is_none());
    let local = Settings { listen: settings.listen, ..Settings::local() };
    assert_eq!(format!("{settings:?}"), format!("{local:?}"), "the flags say what the code says");
}

#[test]
fn all_problems_are_reported_at_once() {
    let flags = [
        ["--listen", "here"],
        ["--attempts", "0"],
        ["--grace", "soon"],
        ["--connect-timeout", "0s"],
        ["--idle-timeout", "20m"],
        ["--total-timeout=-1s", "--local"],
        ["--max-streams", "0"],
        ["--max-connections", "18446744073709551615"],
        ["--connection-idle-timeout", "0s"],
        ["--requests-per-minute", "none"],
        ["--tokens-per-minute", "10"],
        ["--abandonment", "leave"],
        ["--route", "a=b"],
        ["--scripts", "nowhere"],
        ["--max-request-memory", "1000000"],
        ["--body-timeout", "never"],
        ["--heartbeat-interval", "50ms"],
    ];
    let error = serve(&flags.concat()).unwrap_err();
    assert_eq!(error.0.len(), flags.len(), "{error}");
    for part in [
        "--listen is \"here\"",
        "--attempts is 0",
        "--grace is \"soon\"",
        "--connect-timeout is \"0s\"; it must be longer than 0s",
        "--idle-timeout is 1200s, which is more than --max-idle-timeout allows (900s)",
        "--total-timeout is \"-1s\"",
        "--max-streams is 0",
        "--max-connections is 18446744073709551615; the limit of",
        "--connection-idle-timeout is \"0s\"; it must be longer than 0s",
        "--requests-per-minute is \"none\"",
        "--tokens-per-minute is 10, which is less than --reserved-tokens (4096)",
        "--abandonment is \"leave\"",
        "--route a names the unknown target \"b\"",
        "--scripts is nowhere, which is not a folder",
        "--max-request-memory is 1000000; it must be at least 8 times --max-request-bytes (268435456)",
        "--body-timeout is \"never\"",
        "--heartbeat-interval is 50ms; it must be 100ms to 1h, or 0s for none",
    ] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}

#[test]
fn the_password_of_a_redis_is_in_no_output_and_not_taken_as_an_argument() {
    let flags = ["outcrop", "serve", "--local", "--conversations", "redis://:swordfish@127.0.0.1:6379/0"];
    let cli = Cli::try_parse_from(flags).unwrap();
    assert!(!format!("{cli:?}").contains("swordfish"));
    let error = serve(&flags[2..]).unwrap_err().to_string();
    assert!(error.contains("--conversations-password-file") && !error.contains("swordfish"), "{error}");
    let file = std::env::temp_dir().join(format!("outcrop-test-password-{}", std::process::id()));
    std::fs::write(&file, "swordfish\n").unwrap();
    let path = file.to_string_lossy();
    let flags = ["--local", "--conversations", "redis://localhost", "--conversations-password-file", &path];
    let allow = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(0o640);
    let error = serve(&flags).unwrap_err().to_string();
    assert!(error.contains(&format!("Run: chmod 600 {path}")) && !error.contains("swordfish"), "{error}");
    allow(0o600);
    let settings = serve(&flags).unwrap();
    std::fs::remove_file(&file).unwrap();
    let ConversationSettings::Redis(redis) = &settings.conversations else { panic!("redis") };
    assert_eq!(redis.password.as_ref().map(ExposeSecret::expose_secret), Some("swordfish"));
    assert!(!format!("{settings:?}").contains("swordfish"));
}

#[test]
fn a_place_that_cannot_be_used_is_refused_with_what_to_do() {
    for (flags, said) in [
        (["--conversations", "localhost:6379", "--log", "info"], "Write redis://localhost:6379/0"),
        (["--conversations", "memory", "--conversations-ca", "ca.pem"], "--conversations-ca is for a Redis"),
        (["--conversations", "rediss://a", "--conversations-ca", "/nowhere"], "\"/nowhere\", which cannot be read"),
        (["--conversations", "redis://a:b", "--max-stored-bytes", "1"], "\"a:b\" is no HOST:PORT"),
        (["--conversations", "off", "--max-stored-bytes", "0"], "--max-stored-bytes is 0"),
    ] {
        let error = serve(&flags).unwrap_err().to_string();
        assert!(error.contains(said), "{flags:?}: {error}");
    }
}

#[test]
fn a_request_is_no_larger_than_a_message_of_grpc_can_be() {
    let memory = ["--max-request-memory", "18446744073709551615"];
    for (bytes, refused) in [("4294967295", false), ("4294967296", true), ("18446744073709551615", true)] {
        let served = serve(&[&["--local", "--max-request-bytes", bytes], &memory[..]].concat());
        let said = format!("--max-request-bytes is {bytes}; it must be at most 4294967295");
        assert_eq!(served.is_err_and(|error| error.to_string().contains(&said)), refused, "{bytes}");
    }
}

#[test]
fn an_address_that_others_can_reach_needs_callers_or_a_flag() {
    for (flags, refused) in [
        (&["--listen", "0.0.0.0:0"][..], Some("--listen is 0.0.0.0:0, which others can reach")),
        (&["--metrics-listen", "192.0.2.1:9090"], Some("--metrics-listen is 192.0.2.1:9090, which others can reach")),
        (&["--listen", "[::1]:0", "--metrics-listen", "127.0.0.1:0"], None),
        (&["--reflection", "none"], Some("--reflection is \"none\"; it must be all or callers")),
        (&["--trusted-proxy", "10.0.0.1"], Some("--trusted-proxy is \"10.0.0.1\"; it must be a network")),
        (&["--trusted-proxy-cert", "proxy"], Some("--trusted-proxy-cert is \"proxy\"; it must be a URI")),
        (&["--forwarded-client-certs"], Some("--forwarded-client-certs needs proxies to trust")),
        (&["--page-login", "ada"], Some("--page-login is \"ada\", and there are no callers")),
        (&["--page-login", ""], None),
    ] {
        let served = serve(&[&["--local"], flags].concat());
        match refused {
            Some(said) => assert!(served.is_err_and(|error| error.to_string().contains(said)), "{flags:?}"),
            None => assert!(served.is_ok(), "{flags:?}"),
        }
    }
}

#[test]
fn tls_needs_its_parts_and_an_address_for_others_needs_tls() {
    for (flags, said) in [
        (&["--tls-cert", "a"][..], "--tls-cert is set and --tls-key is not"),
        (&["--tls-key", "a"], "--tls-key is set and --tls-cert is not"),
        (&["--tls-client-ca", "a"], "--tls-client-ca applies only to TLS"),
        (&["--tls-client-certs", "optional"], "--tls-client-certs applies only to TLS"),
        (&["--tls-cert", "a", "--tls-key", "b", "--tls-client-certs", "optional"], "needs --tls-client-ca"),
        (&["--tls-cert", "a", "--tls-key", "b", "--insecure-plaintext"], "--insecure-plaintext has no effect"),
        (&["--tls-cert", "a", "--tls-key", "b"], "--tls-cert is a, which cannot be read"),
        (
            &["--listen", "192.0.2.7:50051"],
            "--listen is 192.0.2.7:50051, which others can reach, and connections are not encrypted",
        ),
        (
            &["--metrics-listen", "0.0.0.0:9090"],
            "--metrics-listen is 0.0.0.0:9090, which others can reach, and connections are not encrypted",
        ),
        (
            &["--listen", "[::]:50051", "--tls-client-certs="],
            "--listen is [::]:50051, which others can reach, and connections are not encrypted",
        ),
    ] {
        let error = serve(&[&["--local"], flags].concat()).unwrap_err().to_string();
        assert!(error.contains(said), "{flags:?}: {error}");
    }
    for flags in [
        &["--listen", "0.0.0.0:50051", "--insecure-plaintext", "--insecure-no-auth"][..],
        &["--listen", "127.0.0.2:1", "--metrics-listen", "[::1]:2"],
        &["--listen", "[::ffff:127.0.0.1]:1", "--tls-cert", "", "--tls-key="],
    ] {
        serve(&[&["--local"], flags].concat()).unwrap();
    }
}

#[test]
fn a_host_name_is_an_address_to_listen_on() {
    let settings = serve(&["--local", "--listen", "localhost:0", "--metrics-listen", " localhost:9090 "]).unwrap();
    assert!(settings.listen.ip().is_loopback() && settings.listen.port() == 0, "{}", settings.listen);
    assert_eq!(settings.metrics_listen.map(|address| address.port()), Some(9090));
    for wrong in ["localhost", "localhost:", "localhost:http", ":50051", "localhost:70000", ""] {
        let error = serve(&["--local", &format!("--listen={wrong}")]).unwrap_err().to_string();
        assert!(error.contains("it must be a host and a port, such as 127.0.0.1:50051 or localhost:50051"), "{error}");
    }
}

#[test]
fn a_word_is_not_taken_for_a_file_of_conversations() {
    for (place, said) in [
        (":swordfish@host:6379", Some("looks like the address of a Redis. Write redis://host:6379/0")),
        ("mem", Some("\"mem\"; it must be memory, off, a file or the address of a Redis; did you mean memory?")),
        ("of", Some("did you mean off?")),
        ("conversations", Some("Write ./conversations for a file of that name")),
        ("./mem", None),
        ("c.redb", None),
        ("/var/lib/outcrop/conversations", None),
    ] {
        let found = serve(&["--local", "--conversations", place]).err().map(|error| error.to_string());
        assert!(!format!("{found:?}").contains("swordfish"), "{found:?}");
        match (said, &found) {
            (Some(said), Some(found)) => assert!(found.contains(said), "{said} in {found}"),
            (said, found) => assert!(said.is_none() && found.is_none(), "{place}: {found:?}"),
        }
    }
}

#[test]
fn a_route_to_a_model_that_the_emulator_does_not_have_is_refused() {
    let error = serve(&[
        "--local",
        "--route",
        "a=emulator.toolz,x.y",
        "--route",
        "b=recording.none",
        "--default-model",
        "emulator.c",
    ]);
    let error = error.unwrap_err();
    for said in [
        "--route a names emulator.toolz, which the emulator does not have; did you mean emulator.tools?",
        "--route b names recording.none, which the emulator does not have",
        "--default-model names emulator.c, which the emulator does not have",
    ] {
        assert!(error.to_string().contains(said), "{said} in {error}");
    }
    assert_eq!(error.0.len(), 3, "{error}");
    serve(&["--local", "--route", "a=emulator.tools,any.model", "--default-model", "a"]).unwrap();
    serve(&["--route", "a=emulator.other"]).unwrap();
}
