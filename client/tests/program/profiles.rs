//! Profiles: their precedence, their paths, and where their secrets go.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bedrock_emulator::Config;

use crate::harness::{Server, client, run};

/// A folder with a file of profiles, which is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, profiles: &str, mode: u32) -> Self {
        let folder = std::env::temp_dir().join(format!("outcrop-client-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("outcrop")).unwrap();
        let file = folder.join("outcrop/client.toml");
        fs::write(&file, profiles).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program without an endpoint.
fn program(folder: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_outcrop-client"));
    command.env_clear().env("XDG_CONFIG_HOME", folder).args(arguments);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_flag_and_a_variable_have_precedence_over_a_profile() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let profiles = format!(
        "default-profile = \"a\"\n[profiles.a]\nendpoint = \"localhost:{0}\"\nmodel = \"a.model\"\nsystem = \"be brief\"\n\
         [profiles.b]\nendpoint = \"localhost:{0}\"\nmodel = \"b.model\"\n",
        server.port
    );
    let folder = Folder::new("precedence", &profiles, 0o644);
    for (arguments, variable, model) in [
        (&["hi"][..], None, "a.model"),
        (&["--profile", "b", "hi"], None, "b.model"),
        (&["chat", "--profile", "b"], None, "b.model"),
        (&["hi"], Some("c.model"), "c.model"),
        (&["--model", "d.model", "hi"], Some("c.model"), "d.model"),
    ] {
        let mut command = program(&folder.0, arguments);
        command.envs(variable.map(|model| ("OUTCROP_MODEL", model)));
        let input = if arguments[0] == "chat" { "hi\n" } else { "" };
        let (_, err, code) = run(command, input).await;
        assert_eq!((server.emulator.last_request().unwrap().model_id.as_str(), code), (model, Some(0)), "{err}");
    }
    run(program(&folder.0, &["hi"]), "").await;
    assert_eq!(server.emulator.last_request().unwrap().body["system"][0]["text"], "be brief");
}

#[tokio::test]
async fn a_file_with_a_key_must_be_private_and_no_error_shows_the_key() {
    let profiles = "[profiles.default]\nendpoint = \"localhost:1\"\napi-key = \"swordfish\"\n";
    let folder = Folder::new("public", profiles, 0o644);
    let (_, err, code) = run(program(&folder.0, &["hi"]), "").await;
    assert!(code == Some(2) && err.contains("has an api-key") && err.contains("chmod 600"), "{err}");
    let folder = Folder::new("private", profiles, 0o600);
    let (_, err, code) = run(program(&folder.0, &["hi"]), "").await;
    assert!(code == Some(3) && !err.contains("swordfish"), "{err}");
    let folder = Folder::new("broken", "[profiles.default]\napi-key = \"swordfish\" oops\n", 0o600);
    let (_, err, code) = run(program(&folder.0, &["hi"]), "").await;
    assert!(code == Some(2) && err.contains("line 2") && !err.contains("swordfish"), "{err}");
}

#[tokio::test]
async fn the_key_of_a_profile_goes_to_no_other_endpoint() {
    // A key without encryption is refused for these addresses, so the exit code tells whether there is a key.
    let profiles = "[profiles.default]\nendpoint = \"http://0.0.0.0:1\"\napi-key = \"swordfish\"\n";
    let folder = Folder::new("elsewhere", profiles, 0o600);
    let (_, err, code) = run(program(&folder.0, &["hi"]), "").await;
    assert!(code == Some(2) && err.contains("others on the network could read the API key"), "{err}");
    let (_, err, code) = run(program(&folder.0, &["--endpoint", "http://0.0.0.0:2", "hi"]), "").await;
    assert_eq!(code, Some(3), "{err}");
}

#[tokio::test]
async fn what_is_wrong_with_a_profile_is_said_with_its_place() {
    let folder = Folder::new("wrong", "[profiles.a]\nmodle = \"x\"\n", 0o644);
    let (_, err, code) = run(program(&folder.0, &["hi"]), "").await;
    assert!(code == Some(2) && err.contains("line 2") && err.contains("modle"), "{err}");
    let folder = Folder::new("values", "[profiles.a]\ntimeout = \"soon\"\n", 0o644);
    let (_, err, code) = run(program(&folder.0, &["--profile", "a", "hi"]), "").await;
    assert!(code == Some(2) && err.contains("the profile \"a\"") && err.contains("soon"), "{err}");
    let (_, err, code) = run(program(&folder.0, &["--profile", "b", "hi"]), "").await;
    assert!(code == Some(2) && err.contains("no profile \"b\". It has: a"), "{err}");
    let (_, err, code) = run(client("http://127.0.0.1:1", &["--config", "/nowhere", "hi"]), "").await;
    assert!(code == Some(2) && err.contains("/nowhere"), "{err}");
    // Without a home and without a flag there is no profile.
    let (_, _, code) = run(client("http://127.0.0.1:1", &["hi"]), "").await;
    assert_eq!(code, Some(3));
}
