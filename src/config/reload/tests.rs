//! Tests of the watcher.

use std::fs;

use super::*;
use crate::quota::settings::QuotaSettings;

/// A folder as Kubernetes mounts it: the file is a link through a linked folder, which is swapped at once.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(name: &str, text: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("outcrop-test-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("..data/outcrop.toml", folder.join("outcrop.toml")).unwrap();
        let mounted = Self(folder);
        mounted.swap("1", text);
        mounted
    }

    /// Makes a new version of the content and moves the link to it.
    fn swap(&self, version: &str, text: &str) {
        fs::create_dir_all(self.0.join(version)).unwrap();
        fs::write(self.0.join(version).join("outcrop.toml"), text).unwrap();
        std::os::unix::fs::symlink(version, self.0.join("..next")).unwrap();
        fs::rename(self.0.join("..next"), self.0.join("..data")).unwrap();
    }

    fn watcher(&self) -> Watcher {
        let path = self.0.join("outcrop.toml");
        let arguments = ["outcrop", "serve", "--local", "--config", path.to_str().unwrap()];
        // Certificates of callers match something.
        let arguments = [&arguments[..], &["--forwarded-client-certs", "--trusted-proxy", "10.0.0.0/8"]].concat();
        let inputs = Inputs::new(arguments, [("OUTCROP_GRACE".to_owned(), "7s".to_owned())]);
        let (cli, layers) = inputs.load().unwrap();
        let Command::Serve(args) = cli.command else { panic!("serve") };
        Watcher::new(&inputs, &layers, &args.resolve(&layers).unwrap(), "us-east-1").unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CALLER: &str = "[[caller]]\nname = \"a\"\ncertificates = [\"spiffe://a\"]\n";

/// Two looks, as the second uses what both have found.
async fn twice(watcher: &mut Watcher) -> Option<Change> {
    assert!(watcher.look(false).await.is_none(), "the first look waits for the second");
    watcher.look(false).await
}

#[tokio::test]
async fn a_swap_of_links_brings_new_settings_and_tells_what_needs_a_new_start() {
    let mounted = Mounted::new("swap", "attempts = 2\n");
    let mut watcher = mounted.watcher();
    assert!(twice(&mut watcher).await.is_none(), "nothing has changed");
    mounted.swap(
        "2",
        &format!("attempts = 1\nlog = \"warn\"\ngrace = \"1s\"\nmax_streams = 9\nlisten = \"127.0.0.1:0\"\n{CALLER}"),
    );
    let Some(Change::Settings { settings, at_next_start }) = twice(&mut watcher).await else { panic!("no settings") };
    assert_eq!((settings.log.as_str(), settings.identity.callers.len()), ("warn", 1));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(7), "a variable still replaces the file");
    assert_eq!(at_next_start, ["attempts", "listen"]);
    assert_eq!(settings.limits.streams, 9);
    assert!(twice(&mut watcher).await.is_none(), "it is used once");
}

#[tokio::test]
async fn quotas_prices_and_budgets_are_taken_over_and_their_sharing_needs_a_new_start() {
    let quota =
        |region: &str, tokens: u64| format!("[[quota]]\nmodel = \"a.b\"\n{region}tokens_per_minute = {tokens}\n");
    let mounted = Mounted::new("quotas", &quota("", 1));
    let mut watcher = mounted.watcher();
    let waiting =
        "quota_queue_time = \"1s\"\nquota_queue_length = 2\ncache_affinity = \"3s\"\nshare_limits = \"off\"\n";
    let budget = "weight = 5\n[caller.budget]\ntokens_per_day = 6\n";
    let price = "[price.\"a.b\"]\ninput = 7\noutput = 8\n";
    mounted.swap("2", &format!("{waiting}{}{price}{CALLER}{budget}", quota("", 4)));
    let Some(Change::Settings { settings, at_next_start }) = twice(&mut watcher).await else { panic!("no settings") };
    let QuotaSettings { quotas, prices, queue_time, queue_length, cache_affinity } = settings.quotas;
    assert_eq!(quotas[0].tokens_per_minute.map(u64::from), Some(4));
    assert_eq!((queue_time, queue_length), (Duration::from_secs(1), 2));
    assert_eq!((cache_affinity, prices["a.b"].output), (Duration::from_secs(3), 8_000_000));
    let caller = &settings.identity.callers[0];
    assert_eq!((caller.queue_share.weight, caller.budget.tokens_per_day.map(u64::from)), (5, Some(6)));
    assert_eq!(at_next_start, ["share_limits"]);
}

#[tokio::test]
async fn two_quotas_for_the_region_of_the_running_server_are_refused() {
    let quota = |region: &str| format!("[[quota]]\nmodel = \"a.b\"\nregion = {region:?}\nstreams = 1\n");
    let mounted = Mounted::new("home", &quota(""));
    let path = mounted.0.join("outcrop.toml");
    let inputs = Inputs::new(["outcrop", "serve", "--config", path.to_str().unwrap()], []);
    let (cli, layers) = inputs.load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    let mut watcher = Watcher::new(&inputs, &layers, &args.resolve(&layers).unwrap(), "eu-west-1").unwrap();
    mounted.swap("2", &(quota("") + &quota("eu-west-1")));
    let Some(Change::Refused(ConfigError(problems))) = twice(&mut watcher).await else { panic!("two for one") };
    assert!(problems.len() == 1 && problems[0].contains("quota[1].model is \"a.b\" in eu-west-1"), "{problems:?}");
    mounted.swap("3", &(quota("") + &quota("eu-west-2")));
    assert!(matches!(twice(&mut watcher).await, Some(Change::Settings { .. })));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_reported_once_for_each_content() {
    let mounted = Mounted::new("refused", CALLER);
    let mut watcher = mounted.watcher();
    for (version, text, said) in [
        ("2", "attempts = 0\nmax_stream = 1\n", vec!["attempts is 0", "max_stream is not a known key"]),
        ("3", "attempts =\n", vec!["outcrop.toml:1: "]),
        ("4", "", vec!["has no [[caller]] any more"]),
    ] {
        mounted.swap(version, text);
        let Some(Change::Refused(ConfigError(problems))) = twice(&mut watcher).await else {
            panic!("{text:?} is used")
        };
        assert_eq!(problems.len(), said.len(), "{problems:#?}");
        for part in said {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part} in {problems:#?}");
        }
        assert!(watcher.look(false).await.is_none() && watcher.look(false).await.is_none(), "once");
    }
    fs::remove_file(mounted.0.join("..data")).unwrap();
    let Some(Change::Refused(ConfigError(problems))) = twice(&mut watcher).await else { panic!("a missing file") };
    assert!(problems[0].contains("which cannot be read: No such file"), "{problems:#?}");
    mounted.swap("5", CALLER);
    assert!(matches!(twice(&mut watcher).await, Some(Change::Settings { .. })), "the next good file is used");
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_used() {
    let mounted = Mounted::new("written", "attempts = 2\n");
    let mut watcher = mounted.watcher();
    for (version, text) in [("2", "attempts = 1"), ("3", "attempts = 11"), ("4", "attempts = 2\n")] {
        mounted.swap(version, text);
        assert!(watcher.look(false).await.is_none(), "{text:?}");
    }
    assert!(watcher.look(false).await.is_none(), "it is the first content again");
}

#[tokio::test(start_paused = true)]
async fn a_signal_reads_the_file_again_at_once_also_if_it_is_the_same() {
    let mounted = Mounted::new("signal", CALLER);
    let mut watcher = mounted.watcher();
    assert!(watcher.look(false).await.is_none());
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    let Change::Settings { settings, .. } = watcher.changed().await else { panic!("refused") };
    assert_eq!(settings.identity.callers.len(), 1);
    mounted.swap("2", &format!("log = \"error\"\n{CALLER}"));
    let Change::Settings { settings, .. } = watcher.changed().await else { panic!("refused") };
    assert_eq!(settings.log, "error", "found by looking, as time goes on");
}

#[tokio::test(start_paused = true)]
async fn without_a_file_a_signal_changes_nothing_and_the_values_are_not_shown() {
    let arguments = ["outcrop", "serve", "--local", "--conversations", "redis://user@swordfish"];
    let inputs = Inputs::new(arguments, []);
    let (cli, layers) = inputs.load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    let mut watcher = Watcher::new(&inputs, &layers, &args.resolve(&layers).unwrap(), "us-east-1").unwrap();
    assert!(watcher.look(true).await.is_none());
    let waited = tokio::time::timeout(Duration::from_hours(1), watcher.changed()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert!(!format!("{watcher:?} {layers:?} {inputs:?}").contains("swordfish"));
}

#[tokio::test]
async fn a_file_that_was_refused_because_of_another_file_is_tried_again() {
    let mounted = Mounted::new("again", CALLER);
    let mut watcher = mounted.watcher();
    let scripts = mounted.0.join("scripts");
    mounted.swap("2", &format!("scripts = {scripts:?}\n{CALLER}"));
    let Some(Change::Refused(ConfigError(problems))) = twice(&mut watcher).await else { panic!("a missing folder") };
    assert!(problems[0].contains("which is not a folder"), "{problems:?}");
    for look in 0..3 * TRY_AGAIN {
        assert!(watcher.look(false).await.is_none(), "look {look}: it is reported once");
    }
    fs::create_dir(&scripts).unwrap();
    let mut looks = 0;
    let change = loop {
        looks += 1;
        if let Some(change) = watcher.look(false).await {
            break change;
        }
    };
    assert!(matches!(change, Change::Settings { .. }) && looks <= TRY_AGAIN, "{looks} {change:?}");
    assert!(watcher.look(false).await.is_none() && watcher.refused.is_none());
}

#[tokio::test]
async fn callers_change_also_while_the_files_of_tls_cannot_be_used() {
    let mounted = Mounted::new("tls", "");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (mounted.0.join("cert.pem"), mounted.0.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let tls = format!("tls_cert = {cert:?}\ntls_key = {key:?}\n");
    mounted.swap("2", &tls);
    let mut watcher = mounted.watcher();
    fs::write(&cert, "half").unwrap();
    mounted.swap("3", &format!("{tls}{CALLER}"));
    let Some(Change::Settings { settings, .. }) = twice(&mut watcher).await else { panic!("no settings") };
    assert_eq!(settings.identity.callers.len(), 1, "a key can be revoked although the certificate is being replaced");
}

#[tokio::test]
async fn callers_change_also_while_files_are_missing_that_a_running_server_does_not_read() {
    let mounted = Mounted::new("unused", "");
    let (password, audit) = (mounted.0.join("password"), mounted.0.join("logs"));
    fs::write(&password, "swordfish").unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::create_dir(&audit).unwrap();
    let log = audit.join("audit.log");
    let files = format!(
        "conversations = \"redis://127.0.0.1:1/0\"\nconversations_password_file = {password:?}\naudit_log = {log:?}\n"
    );
    mounted.swap("2", &files);
    let mut watcher = mounted.watcher();
    fs::remove_file(&password).unwrap();
    fs::remove_dir(&audit).unwrap();
    mounted.swap("3", &format!("{files}{CALLER}"));
    let Some(Change::Settings { settings, at_next_start }) = twice(&mut watcher).await else { panic!("no settings") };
    assert_eq!((settings.identity.callers.len(), at_next_start), (1, Vec::new()));
}
