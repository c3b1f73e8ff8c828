//! Settings of TLS that cannot be used, and addresses that may not be listened on: all problems at once, and nothing is bound.

use std::{fs, os::unix::fs::PermissionsExt};

use super::authority::{Authority, Files};
use crate::process::{Serving, outcrop, run};

#[test]
fn all_problems_are_reported_at_once_before_anything_is_bound() {
    let files = Files::new("problems");
    let key = files.path("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(files.path("empty.pem"), "").unwrap();
    let (missing, empty) = (files.path("missing.pem"), files.path("empty.pem"));
    let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--attempts", "0", "--tls-cert", &missing, "--tls-key"];
    let flags = [&flags[..], &[&key, "--tls-client-ca", &empty, "--tls-client-certs", "maybe"]].concat();
    let (out, err, code) = run(&mut outcrop(&flags));
    for part in [
        "--attempts is 0".to_owned(),
        format!("--tls-cert is {missing}, which cannot be read"),
        format!("--tls-key is {key}, which can be read or changed by other users (mode 0640). Run: chmod 600 {key}"),
        "--tls-client-certs is \"maybe\"; it must be required or optional".to_owned(),
    ] {
        assert!(err.contains(&part), "{part} in {err}");
    }
    assert_eq!((out.as_str(), code), ("", Some(2)));
    // What the files have in them is reported when they can be read.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(files.path("cert.pem"), Authority::new("another").server().certificate).unwrap();
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let own = ["serve", "--local", "--listen", "127.0.0.1:0", "--tls-client-ca", &empty];
    let (out, err, code) = run(&mut outcrop(&[&own[..], &flags].concat()));
    assert!(err.contains(&format!("--tls-client-ca is {empty}, which has no certificate")), "{err}");
    assert_eq!((out.as_str(), code), ("", Some(2)));
    let (_, err, code) = run(&mut outcrop(&[&own[..4], &flags].concat()));
    assert!(err.contains("which is not the key of the first certificate in --tls-cert"), "{err}");
    assert_eq!(code, Some(2));
}

#[test]
fn listening_for_other_machines_needs_tls_or_a_flag_that_is_logged() {
    let (out, err, code) =
        run(&mut outcrop(&["serve", "--local", "--listen", "0.0.0.0:0", "--metrics-listen", "[::]:0"]));
    for part in [
        "--listen is 0.0.0.0:0, which others can reach, and connections are not encrypted",
        "--metrics-listen is [::]:0, which others can reach, and connections are not encrypted",
        "--insecure-plaintext",
        "--tls-cert",
        "127.0.0.1",
    ] {
        assert!(err.contains(part), "{part} in {err}");
    }
    assert_eq!((out.as_str(), code), ("", Some(2)));
    let insecure = ["serve", "--local", "--listen", "0.0.0.0:0", "--insecure-plaintext", "--insecure-no-auth"];
    let mut serving = Serving::listening(&mut outcrop(&insecure));
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let log = std::io::read_to_string(serving.child.stderr.take().unwrap()).unwrap();
    assert!(log.contains("WARN") && log.contains("listening without TLS"), "{log}");
    // With TLS there is nothing to say aloud.
    let files = Files::new("guard");
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut serving = Serving::listening(&mut outcrop(
        &[&["serve", "--local", "--listen", "0.0.0.0:0", "--insecure-no-auth"], &flags[..]].concat(),
    ));
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    let log = std::io::read_to_string(serving.child.stderr.take().unwrap()).unwrap();
    assert!(log.contains("TLS is on") && !log.contains("without TLS"), "{log}");
}
