//! `outcrop tls self-signed` makes files that server and client accept, and overwrites none.

use std::{fs, os::unix::fs::PermissionsExt};

use outcrop_client::Client;

use super::wire::Dial;
use crate::{
    harness::{collect, request, soon},
    process::{Serving, outcrop, run},
    stores::Folder,
};

#[tokio::test]
async fn the_flags_that_it_prints_serve_and_trust_the_certificate() {
    let folder = Folder::new("self-signed");
    let out = folder.file("new/tls");
    let (said, err, code) =
        run(&mut outcrop(&["tls", "self-signed", "--out", &out, "--name", "10.1.2.3", "--name", "*.a.example"]));
    assert_eq!(code, Some(0), "{err}");
    let mode = |name: &str| fs::metadata(format!("{out}/{name}")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("key.pem"), 0o600);
    // The line after `server:`, on a free port.
    let line = said.lines().find_map(|line| line.strip_prefix("server:  outcrop ")).expect(&said);
    let arguments: Vec<_> = line.split(' ').chain(["--listen", "127.0.0.1:0"]).collect();
    let serving = Serving::listening(&mut outcrop(&arguments));
    let certificate = fs::read_to_string(format!("{out}/cert.pem")).unwrap();
    let port = serving.endpoint.rsplit(':').next().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let endpoint = format!("https://{host}:{port}");
        let client = Client::connect_trusting(&endpoint, certificate.as_bytes()).await.unwrap();
        soon(collect(soon(client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
    }
    let shown = Dial::trusting(&certificate).shown(&serving.endpoint).await.unwrap();
    let text = shown.iter().map(|byte| char::from(*byte)).collect::<String>();
    assert!(text.contains("*.a.example") && text.contains("\x0a\x01\x02\x03"), "it has the names");
    for line in ["client:  outcrop-client ", "grpcurl: grpcurl "] {
        let line = said.lines().find_map(|said| said.strip_prefix(line)).expect(&said);
        assert!(line.contains(&format!("{out}/cert.pem")), "{line}");
    }
}

#[test]
fn existing_files_and_wrong_names_are_left_alone() {
    let folder = Folder::new("self-signed-twice");
    let out = folder.file("tls");
    let make = |more: &[&str]| run(&mut outcrop(&[&["tls", "self-signed", "--out", &out], more].concat()));
    for name in ["a.example:443", "https://a.example", "", "a b"] {
        let (_, err, code) = make(&["--name", name]);
        assert!(err.contains(&format!("--name is {name:?}")) && code == Some(2), "{err}");
        assert!(!fs::exists(&out).unwrap());
    }
    fs::create_dir(&out).unwrap();
    fs::write(format!("{out}/cert.pem"), "mine").unwrap();
    let (_, err, code) = make(&[]);
    assert!(err.contains("cert.pem exists and is not overwritten") && code == Some(2), "{err}");
    assert_eq!(fs::read_to_string(format!("{out}/cert.pem")).unwrap(), "mine");
    assert!(!fs::exists(format!("{out}/key.pem")).unwrap(), "no key without its certificate");
    fs::remove_file(format!("{out}/cert.pem")).unwrap();
    assert_eq!(make(&[]).2, Some(0));
    let key = fs::read_to_string(format!("{out}/key.pem")).unwrap();
    let (said, err, code) = make(&[]);
    assert!(err.contains("key.pem exists and is not overwritten") && code == Some(2), "{err}");
    assert_eq!(fs::read_to_string(format!("{out}/key.pem")).unwrap(), key);
    assert!(!said.contains("PRIVATE KEY") && !err.contains("PRIVATE KEY"));
}
