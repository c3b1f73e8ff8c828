//! The configuration file, its check and its reload, with the program as an operator runs it.
//!
//! - `broken` broken variants of the sample
//! - `reload_streams` a reload under many streams
//! - `quotas` what is known about quotas only with the region of AWS; `service_quotas` those whose numbers AWS has

mod broken;
mod quotas;
mod reload_streams;
mod service_quotas;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    sync::mpsc,
    time::{Duration, SystemTime},
};

use outcrop_client::{Client, ClientError};
use outcrop_secret_file::SecretString;

use crate::{
    harness::{collect, metric, request, soon},
    process::{Serving, outcrop, run},
    redis::server::Redis,
    stores::Folder,
};

/// The text of the metrics.
fn metrics(serving: &Serving) -> String {
    use std::io::Write;
    let mut connection = std::net::TcpStream::connect(serving.metrics.unwrap()).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(connection).unwrap()
}

/// The lines of the log as they come.
fn log_lines(serving: &mut Serving) -> mpsc::Receiver<String> {
    let stderr = BufReader::new(serving.child.stderr.take().unwrap());
    let (send, lines) = mpsc::sync_channel(10_000);
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

/// Waits for a line of the log with this text.
fn line_with(lines: &mpsc::Receiver<String>, text: &str) -> String {
    loop {
        let line = lines.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("{text} is not logged"));
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn the_program_takes_its_settings_from_a_file_and_tells_where_each_comes_from() {
    let folder = Folder::new("config-file");
    let file = folder.file("outcrop.toml");
    fs::write(&file, "local = true\nlisten = \"localhost:0\"\nmetrics_listen = \"127.0.0.1:0\"\ngrace = \"1s\"\n")
        .unwrap();
    let mut command = outcrop(&["config"]);
    let (out, err, code) =
        run(command.env("OUTCROP_CONFIG", &file).env("OUTCROP_GRACE", "2s").env("OUTCROP_REGION", ""));
    assert_eq!((err.as_str(), code), ("", Some(0)));
    for line in [format!("local = true  # {file}:1\n"), "grace = \"2s\"  # OUTCROP_GRACE\n".to_owned()] {
        assert!(out.contains(&line), "{line} in {out}");
    }
    let (out, err, code) = run(outcrop(&["check"]).env("OUTCROP_CONFIG", &file));
    assert!(out.starts_with("ok\nlistens on: ") && err.is_empty() && code == Some(0), "{out}{err}");
    let mut child = outcrop(&["serve"]).env("OUTCROP_CONFIG", &file).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("listening on 127.0.0.1:"));
    assert!(lines.next().unwrap().unwrap().starts_with("metrics on 127.0.0.1:"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_variable_that_is_true_or_false_takes_the_usual_words() {
    for word in ["1", "yes", "true"] {
        let (_, err, code) = run(outcrop(&["check"]).env("OUTCROP_LOCAL", word));
        assert_eq!((err.as_str(), code), ("", Some(0)), "{word}");
    }
    let (_, err, code) = run(outcrop(&["check"]).env("OUTCROP_LOCAL", "maybe").env("OUTCROP_ATTEMPTS", "0"));
    assert!(err.contains("OUTCROP_LOCAL is \"maybe\"; it must be true or false"), "{err}");
    assert!(err.contains("OUTCROP_ATTEMPTS is 0") && code == Some(2), "{err}");
}

#[test]
fn a_misspelt_variable_is_warned_about() {
    let (_, err, code) =
        run(outcrop(&["check", "--local"]).env("OUTCROP_MAX_STREAM", "1").env("OUTCROP_ENDPOINT", "x"));
    let warning = "OUTCROP_MAX_STREAM is not a variable of this program; did you mean OUTCROP_MAX_STREAMS?";
    assert_eq!((err.as_str(), code), (format!("outcrop: {warning}\n").as_str(), Some(0)));
    let mut command = outcrop(&["serve", "--local", "--listen", "127.0.0.1:0"]);
    let mut serving = Serving::listening(command.env("OUTCROP_MAX_STREAM", "1"));
    let lines = log_lines(&mut serving);
    assert!(line_with(&lines, warning).contains("WARN"));
}

#[test]
fn without_a_region_the_lines_that_say_what_to_set_are_the_only_ones() {
    for (command, empty) in [("serve", false), ("check", false), ("check", true)] {
        let mut program = outcrop(&[command]);
        if empty {
            program.env("AWS_REGION", "");
        }
        let (out, err, code) = run(&mut program);
        let lines: Vec<_> = err.lines().collect();
        let [head, region, credentials] = lines[..] else { panic!("{err}") };
        assert!(head.contains("the configuration cannot be used"), "{err}");
        assert!(region.contains("no AWS region") && credentials.contains("no AWS credentials"), "{err}");
        assert_eq!((out.as_str(), code), ("", Some(2)), "{command}");
    }
}

#[test]
fn a_filter_that_would_log_nothing_is_refused() {
    let (_, err, code) = run(&mut outcrop(&["serve", "--local", "--log", "json"]));
    assert!(err.contains("--log is \"json\", and no crate of the program is called json"), "{err}");
    assert_eq!(code, Some(2));
}

#[test]
fn a_check_finds_what_would_fail_later() {
    let folder = Folder::new("config-check");
    let missing = folder.file("none/c.redb");
    for (place, said) in [
        (missing.as_str(), format!("the folder {0} does not exist. Make it: mkdir -p {0}", folder.file("none"))),
        ("redis://127.0.0.1:1/0", "the Redis at redis://127.0.0.1:1/0 cannot be used".to_owned()),
    ] {
        let (out, err, code) = run(&mut outcrop(&["check", "--local", "--conversations", place]));
        assert!(err.contains(&said), "{said} in {err}");
        assert_eq!((out.as_str(), code), ("", Some(1)), "{place}");
    }
    let (out, _, code) = run(&mut outcrop(&["check", "--local", "--conversations", &folder.file("c.redb")]));
    assert!(out.starts_with("ok\n") && code == Some(0), "{out}");
    assert!(fs::read_dir(folder.file("")).unwrap().next().is_none(), "a check makes no file");
}

#[test]
fn a_check_asks_a_redis_and_never_shows_its_password() {
    let Some(redis) = Redis::start_with("config-check", &["--requirepass", "swordfish"]) else { return };
    let place = format!("redis://127.0.0.1:{}/0", redis.port);
    let check = |password: &str| {
        let mut command = outcrop(&["check", "--local", "--conversations", &place]);
        run(command.env("OUTCROP_CONVERSATIONS_PASSWORD", password))
    };
    let (out, err, code) = check("swordfish");
    assert!(out.contains(&place) && code == Some(0), "{out}{err}");
    let (out, err, code) = check("catfish");
    assert!(err.contains(&place) && code == Some(1), "{out}{err}");
    assert!(![out, err].concat().contains("fish"));
}

#[tokio::test]
async fn a_changed_file_is_applied_while_streams_run_and_a_bad_one_changes_nothing() {
    let folder = Folder::new("config-reload");
    let file = folder.file("outcrop.toml");
    fs::write(&file, "log = \"info\"\n").unwrap();
    let mut serving = Serving::start(&["--metrics-listen", "127.0.0.1:0", "--config", &file]);
    let lines = log_lines(&mut serving);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(soon(client.generate(request("emulator.endless"))).await.unwrap());
    }
    fs::write(&file, "attempts = 0\nmax_stream = 1\n").unwrap();
    line_with(&lines, "outcrop.toml:2: max_stream is not a known key; did you mean max_streams?");
    line_with(&lines, "outcrop.toml:1: attempts is 0");
    let count = |name: &str| metric(&metrics(&serving), name, &[]);
    assert_eq!((count("config_generation"), count("config_reloads_failed_total")), (1, 1));
    fs::write(&file, "log = \"outcrop=debug,info\"\nattempts = 2\n").unwrap();
    line_with(&lines, "the configuration file was read again");
    assert!(line_with(&lines, "take effect at the next start").contains("attempts"));
    assert_eq!((count("config_generation"), count("config_reloads_failed_total")), (2, 1));
    serving.signal("-HUP");
    line_with(&lines, "the configuration file was read again");
    assert_eq!(count("config_generation"), 3);
    for stream in &mut streams {
        // More than what was on its way.
        for _ in 0..50 {
            assert!(soon(stream.next()).await.unwrap().is_some(), "a stream goes on");
        }
    }
}

/// A `[[caller]]` of this name, with the line that `outcrop keys new` prints, and its key.
fn caller(name: &str) -> (String, SecretString) {
    let (key, line, code) = run(&mut outcrop(&["keys", "new", "--caller", name]));
    assert_eq!(code, Some(0), "{line}");
    let line = line.lines().last().unwrap().trim().trim_end_matches(',');
    (format!("[[caller]]\nname = \"{name}\"\nkeys = [{line}]\n"), SecretString::from(key.trim()))
}

#[tokio::test]
async fn callers_routes_and_limits_of_a_changed_file_hold_for_the_next_call_and_no_other_stream_ends() {
    let folder = Folder::new("config-callers");
    let file = folder.file("outcrop.toml");
    let ((ada, ada_key), (bob, bob_key)) = (caller("ada"), caller("bob"));
    fs::write(&file, format!("{ada}{bob}")).unwrap();
    let mut serving = Serving::start(&["--config", &file]);
    let lines = log_lines(&mut serving);
    let connect =
        async |key: &SecretString| Client::builder(&serving.endpoint).api_key(key.clone()).connect().await.unwrap();
    let (ada_client, bob_client) = (connect(&ada_key).await, connect(&bob_key).await);
    let (mut of_ada, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let client = connect(&ada_key).await;
        for _ in 0..10 {
            of_ada.push(soon(client.generate(request("emulator.endless"))).await.unwrap());
        }
        clients.push(client);
    }
    let mut of_bob = soon(bob_client.generate(request("emulator.endless"))).await.unwrap();
    assert!(soon(ada_client.generate(request("fast"))).await.is_err(), "there is no route yet");
    fs::write(
        &file,
        format!("default_model = \"fast\"\n[routes]\nfast = [\"emulator.tools\"]\n{ada}max_streams = 201\n"),
    )
    .unwrap();
    assert!(!line_with(&lines, "the configuration file was read again").contains("ERROR"));
    let ended = soon(async {
        loop {
            if let Err(ClientError::Call(error)) = of_bob.next().await {
                return error;
            }
        }
    });
    assert_eq!(ended.await.reason, "CREDENTIALS_REVOKED");
    assert!(soon(bob_client.generate(request("emulator.tools"))).await.is_err(), "the caller is gone");
    for name in ["fast", ""] {
        soon(collect(soon(ada_client.generate(request(name))).await.unwrap())).await.whole();
    }
    let _last = soon(ada_client.generate(request("emulator.endless"))).await.unwrap();
    let Err(ClientError::Call(refused)) = soon(ada_client.generate(request("fast"))).await else { panic!("no limit") };
    assert_eq!(refused.reason, "LOCAL_LIMIT", "the caller has a new limit");
    for stream in &mut of_ada {
        // More than what was on its way.
        for _ in 0..50 {
            assert!(soon(stream.next()).await.unwrap().is_some(), "a stream of the other caller goes on");
        }
    }
    // Without callers the server would serve every client.
    fs::write(&file, "").unwrap();
    line_with(&lines, "has no [[caller]] any more");
    assert!(soon(Client::connect(&serving.endpoint).await.unwrap().generate(request("emulator.tools"))).await.is_err());
}

#[tokio::test]
async fn a_call_that_waits_in_the_queue_begins_when_a_changed_file_raises_the_limit() {
    let folder = Folder::new("config-queue");
    let file = folder.file("outcrop.toml");
    let limits = |streams: u32| format!("queue_time = \"10m\"\nmax_streams = {streams}\n");
    fs::write(&file, limits(1)).unwrap();
    let serving = Serving::start(&["--config", &file]);
    let client = Client::connect(&serving.endpoint).await.unwrap();
    let _running = soon(client.generate(request("emulator.endless"))).await.unwrap();
    let waiting = client.generate(request("emulator.default"));
    tokio::pin!(waiting);
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(waited.is_err(), "there is no permit");
    fs::write(&file, limits(2)).unwrap();
    soon(collect(soon(waiting).await.unwrap())).await.whole();
}

#[test]
fn a_server_says_at_its_start_where_it_is_reached_and_what_is_not_protected() {
    let folder = Folder::new("config-banner");
    let file = folder.file("outcrop.toml");
    fs::write(&file, "[alias.support]\nmodel = \"emulator.default\"\nsystem = \"swordfish\"\n").unwrap();
    let flags = ["--log", "off", "--config", &file, "--metrics-listen", "127.0.0.1:0"];
    let mut serving = Serving::start(&flags);
    let lines = log_lines(&mut serving);
    let fact = |name: &str| line_with(&lines, name).trim_start().strip_prefix(name).unwrap().trim().to_owned();
    assert_eq!(fact("page"), format!("{}/", serving.endpoint));
    assert_eq!(fact("metrics"), format!("http://{}/metrics", serving.metrics.unwrap()));
    assert_eq!(fact("answers from"), "the emulator in this process");
    assert_eq!(fact("models"), "default emulator.default; routes none; aliases support");
    assert!(fact("not protected").contains("only this machine can connect"));
    assert!(lines.try_recv().is_err(), "nothing else is said");
}

#[test]
fn a_log_of_json_has_what_is_said_at_the_start_as_one_event() {
    let mut serving = Serving::start(&["--log", "info", "--log-format", "json"]);
    let lines = log_lines(&mut serving);
    let started: serde_json::Value = serde_json::from_str(&line_with(&lines, "\"started\"")).unwrap();
    assert_eq!(started["page"], format!("{}/", serving.endpoint));
    assert_eq!(started["upstream"], "the emulator in this process");
    let mut further = std::iter::from_fn(|| lines.try_recv().ok());
    assert!(further.all(|line| line.starts_with('{')), "each line is an object");
}

#[test]
fn a_check_tells_of_a_certificate_that_expires_soon() {
    let folder = Folder::new("config-certificate");
    let (now, day) = (SystemTime::now(), Duration::from_hours(24));
    for (days, code) in [(5, Some(1)), (100, Some(0))] {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = ((now - day).into(), (now + days * day).into());
        let key = rcgen::KeyPair::generate().unwrap();
        let (certificate_file, key_file) = (folder.file("cert.pem"), folder.file("key.pem"));
        fs::write(&certificate_file, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let flags = ["check", "--local", "--tls-cert", &certificate_file, "--tls-key", &key_file];
        let (out, err, found) = run(&mut outcrop(&flags));
        assert_eq!(found, code, "{out}{err}");
        assert_eq!(err.contains("expires soon"), days == 5, "{err}");
        assert_eq!(out.contains("the certificate is valid until "), days == 100, "{out}");
    }
}
