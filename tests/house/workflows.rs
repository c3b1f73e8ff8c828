//! What CI runs is what was reviewed: actions by digest, packages by hash, and no more permissions than it needs.

use crate::{files, read};

#[test]
fn actions_are_pinned_and_may_only_read() {
    let workflows = files(&[".github/workflows"], "yml");
    assert!(workflows.len() >= 2, "{workflows:?}");
    for path in workflows {
        let text = read(&path);
        assert!(text.contains("\npermissions:\n  contents: read\n"), "{path} does not limit its permissions");
        let (checkouts, without_credentials) =
            (text.matches("actions/checkout@").count(), text.matches("persist-credentials: false").count());
        assert_eq!(checkouts, without_credentials, "{path} leaves credentials in a checkout");
        for line in text.lines().filter(|line| line.contains("uses:")) {
            let (_, pinned) = line.split_once('@').unwrap();
            let (digest, version) = pinned.split_once(" # v").unwrap_or_else(|| panic!("{path}: no version in {line}"));
            let is_digest = digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_digest && !version.is_empty(), "{path}: no full digest in {line}");
        }
    }
}

#[test]
fn python_packages_are_pinned_with_their_hashes() {
    for (requirements, script) in [
        ("tests/interop", ".ci/install"),
        ("tests/deploy", ".ci/deploy"),
        ("packaging/emulator", ".github/workflows/release.yml"),
        ("packaging/emulator/python/example", "tests/packages/conftest.py"),
    ] {
        let lines = read(format!("{requirements}/requirements.txt"));
        let packages: Vec<_> =
            lines.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
        assert!(packages.len() > 3, "{requirements} pins {packages:?}");
        for package in packages {
            assert!(package.contains("==") && package.ends_with('\\'), "{package} has no hash");
        }
        assert!(read(script).contains("--require-hashes"), "{script} does not check the hashes");
    }
}

#[test]
fn the_build_of_an_image_has_every_member_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
    let context = read(".dockerignore");
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        assert!(context.lines().any(|line| line == format!("!{member}")), ".dockerignore leaves out {member}");
    }
}
