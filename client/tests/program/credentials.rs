//! What the program shows a server: a certificate, an API key, and neither of them to others.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use bedrock_emulator::Config;
use outcrop_client::{Client, proto::GenerateRequest};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;

use crate::harness::{Server, client, run};

/// A folder of files that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-client-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server of HTTP/2 that keeps the `authorization` of each call, and answers none.
struct Recorder {
    port: u16,
    calls: tokio::sync::mpsc::Receiver<Option<String>>,
    _serving: tokio::task::JoinSet<()>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, calls) = tokio::sync::mpsc::channel(16);
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(tcp).await.unwrap();
                while let Some(Ok((request, _))) = connection.accept().await {
                    let value = request.headers().get("authorization");
                    seen.send(value.map(|value| value.to_str().unwrap().to_owned())).await.unwrap();
                }
            }
        });
        Self { port, calls, _serving: serving }
    }
}

#[tokio::test]
async fn an_api_key_comes_from_a_file_or_the_environment_and_goes_with_every_call() {
    let folder = Folder::new("api-key");
    let file = folder.write("key", "from-the-file\n", 0o600);
    let mut recorder = Recorder::start().await;
    let endpoint = format!("http://localhost:{}", recorder.port);
    let in_file = ["--api-key-file", file.as_str(), "hi"];
    for (arguments, variables, sent) in [
        (&in_file[..], &[][..], Some("Bearer from-the-file")),
        (&["hi"], &[("OUTCROP_API_KEY", "from-the-variable")], Some("Bearer from-the-variable")),
        (&["hi"], &[("OUTCROP_API_KEY_FILE", file.as_str())], Some("Bearer from-the-file")),
        (&in_file, &[("OUTCROP_API_KEY", "from-the-variable")], Some("Bearer from-the-file")),
        (&["hi"], &[("OUTCROP_API_KEY", "")], None),
        (&["--conversation", "new", "hi"], &[("OUTCROP_API_KEY", "also-here")], Some("Bearer also-here")),
    ] {
        let mut command = client(&endpoint, arguments);
        command.envs(variables.iter().copied());
        let (_, err, code) = run(command, "").await;
        assert_eq!(code, Some(1), "the recorder answers nothing: {err}");
        assert_eq!(recorder.calls.recv().await.unwrap().as_deref(), sent, "{arguments:?}");
        assert!(!err.contains("from-the"), "{err}");
    }
    // The library too.
    let client = Client::builder(&endpoint).api_key("of-the-library".into()).connect().await.unwrap();
    client.generate(GenerateRequest::default()).await.unwrap_err();
    assert_eq!(recorder.calls.recv().await.unwrap().as_deref(), Some("Bearer of-the-library"));
}

#[tokio::test]
async fn a_key_goes_to_no_other_machine_without_encryption_unless_it_is_allowed() {
    // An address that leads nowhere: nothing may be sent to it.
    let elsewhere = "http://192.0.2.1:50051";
    let mut command = client(elsewhere, &["hi"]);
    command.env("OUTCROP_API_KEY", "swordfish");
    let (out, err, code) = run(command, "").await;
    assert_eq!((out.as_str(), code), ("", Some(2)), "{err}");
    assert!(err.contains("could read the API key") && err.contains("--insecure-key-over-plaintext"), "{err}");
    assert!(!err.contains("swordfish"), "{err}");
    let mut command = client(elsewhere, &["--insecure-key-over-plaintext", "--timeout", "1s", "hi"]);
    command.env("OUTCROP_API_KEY", "swordfish");
    let (_, err, code) = run(command, "").await;
    assert!(code != Some(2) && !err.contains("could read the API key"), "it tries: {code:?} {err}");
    assert!(!err.contains("swordfish"), "{err}");
}

#[tokio::test]
async fn secrets_that_cannot_be_used_end_with_2_and_are_not_shown() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let folder = Folder::new("unusable");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["client".to_owned()]).unwrap();
    let (cert, key) = (folder.write("cert.pem", &cert.pem(), 0o644), signing_key.serialize_pem());
    let other = generate_simple_self_signed(["other".to_owned()]).unwrap().signing_key.serialize_pem();
    let (open, key) = (folder.write("open.pem", &key, 0o640), folder.write("key.pem", &key, 0o600));
    let (other, empty) = (folder.write("other.pem", &other, 0o600), folder.write("empty", "\n", 0o600));
    let readable = folder.write("api-key", "swordfish", 0o644);
    let spaces = folder.write("spaces", "sword fish", 0o600);
    let (plain, encrypted) = (format!("http://127.0.0.1:{}", server.port), "https://127.0.0.1:1".to_owned());
    for (endpoint, flags, said) in [
        (&plain, &["--api-key-file", readable.as_str()][..], format!("(mode 0644). Run: chmod 600 {readable}")),
        (&plain, &["--api-key-file", &empty], "is empty".to_owned()),
        (&plain, &["--api-key-file", "/nowhere"], "--api-key-file is /nowhere, which cannot be read".to_owned()),
        (&plain, &["--api-key-file", &spaces], "the API key cannot be sent".to_owned()),
        (&plain, &["--cert", &cert, "--key", &key], "is not encrypted".to_owned()),
        (&encrypted, &["--cert", &cert], "--key".to_owned()),
        (&encrypted, &["--key", &key], "--cert".to_owned()),
        (&encrypted, &["--cert", &cert, "--key", &open], format!("Run: chmod 600 {open}")),
        (&encrypted, &["--cert", "/nowhere", "--key", &key], "cannot read the file of --cert, /nowhere".to_owned()),
        (&encrypted, &["--cert", &cert, "--key", &cert], "can be read or changed".to_owned()),
        (&encrypted, &["--cert", &key, "--key", &key], "there is no `BEGIN CERTIFICATE`".to_owned()),
        (&encrypted, &["--cert", &cert, "--key", &spaces], "has no `BEGIN PRIVATE KEY`".to_owned()),
        (&encrypted, &["--cert", &cert, "--key", &other], "the client certificate cannot be used".to_owned()),
    ] {
        let (out, err, code) = run(client(endpoint, &[flags, &["hi"]].concat()), "").await;
        assert_eq!((out.as_str(), code), ("", Some(2)), "{flags:?}: {err}");
        assert!(err.contains(&said), "{flags:?}: {said} in {err}");
        assert!(!err.contains("sword"), "{err}");
    }
    assert!(server.emulator.last_request().is_none());
}
