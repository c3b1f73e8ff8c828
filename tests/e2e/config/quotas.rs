//! Quotas whose problems only AWS knows, and those that are warned about.

use std::{fs, process::Command};

use bedrock_emulator::{Config, Emulator};
use tokio::task::spawn_blocking;

use super::{line_with, log_lines};
use crate::{
    process::{Serving, outcrop, run},
    stores::Folder,
};

/// The program with credentials, and with a region that only the standard chain of AWS knows.
fn on_aws(command: &str, file: &str) -> Command {
    let mut program = outcrop(&[command, "--listen", "127.0.0.1:0", "--config", file]);
    program.env("AWS_REGION", "eu-west-1").env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    // The lists of models are asked for here, and not of AWS.
    program.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_the_codes_of_quotas_and_looks_for_their_models() {
    let folder = Folder::new("config-quota-codes");
    let file = folder.file("outcrop.toml");
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.set_account(Vec::new(), Vec::new(), 1);
    emulator.set_service_quota("eu-west-1", "L-0000000A", Some(5.0));
    let limits = "tokens_per_minute = 100000\ntokens_per_minute_code = \"L-0000000A\"\nrequests_per_minute = 1\n";
    let arn = "arn:aws:bedrock:eu-west-1:000000000000:application-inference-profile/a";
    let check = async |text: String| {
        fs::write(&file, text).unwrap();
        let mut program = on_aws("check", &file);
        program.env("AWS_ENDPOINT_URL", emulator.endpoint());
        spawn_blocking(move || run(&mut program)).await.unwrap()
    };
    let (out, err, code) = check(format!("[[quota]]\nmodel = {arn:?}\n{limits}")).await;
    assert!(out.starts_with("ok\n") && err.is_empty() && code == Some(0), "{out}{err}");
    let unread = "requests_per_minute_code = \"L-0000000B\"\n";
    let (out, err, code) = check(format!("[[quota]]\nmodel = {arn:?}\n{limits}{unread}")).await;
    let said = "outcrop: the quota L-0000000B in eu-west-1 cannot be read from AWS Service Quotas, and the number beside it holds: ";
    assert!(err.starts_with(said) && err.contains("The role needs servicequotas:GetServiceQuota"), "{err}");
    assert!(out.starts_with("ok\n") && code == Some(0), "what cannot be read is no error: {out}");
    let (_, err, code) = check(format!("[[quota]]\nmodel = \"acme.none\"\n{limits}")).await;
    let said = "a [[quota]] names acme.none, which eu-west-1 does not have";
    assert!(err.contains(said) && code == Some(1), "{err}");
}

#[test]
fn two_quotas_for_the_region_that_the_chain_of_aws_finds_are_refused_by_serve_and_by_check() {
    let folder = Folder::new("config-quota-region");
    let file = folder.file("outcrop.toml");
    let quota = |region: &str| format!("[[quota]]\nmodel = \"a.b\"\nregion = \"{region}\"\nstreams = 1\n");
    fs::write(&file, quota("") + &quota("eu-west-1")).unwrap();
    let said =
        format!("{file}:6: quota[1].model is \"a.b\" in eu-west-1, as of quota[0] in line 1. Leave one of them out");
    for command in ["serve", "check"] {
        let (out, err, code) = run(&mut on_aws(command, &file));
        assert_eq!((out.as_str(), code), ("", Some(2)), "{command}: {err}");
        assert!(err.contains(&said), "{said} in {err}");
    }
    fs::write(&file, quota("") + &quota("eu-west-2")).unwrap();
    let (out, err, code) = run(&mut on_aws("check", &file));
    assert!(out.starts_with("ok\n") && code == Some(0), "{err}");
}

#[test]
fn a_quota_that_is_smaller_than_one_reservation_is_warned_about_by_serve_and_by_check() {
    let folder = Folder::new("config-quota-small");
    let file = folder.file("outcrop.toml");
    fs::write(&file, "[[quota]]\nmodel = \"emulator.default\"\ntokens_per_minute = 60000\n").unwrap();
    let said =
        "the quota of emulator.default is 60000 tokens a minute, and a request without max_tokens reserves 64000";
    let (out, err, code) = run(&mut outcrop(&["check", "--local", "--config", &file]));
    assert!(err.starts_with(&format!("outcrop: {said}")) && code == Some(0), "{out}{err}");
    let mut serving = Serving::start(&["--config", &file]);
    let lines = log_lines(&mut serving);
    assert!(line_with(&lines, said).contains("WARN"));
    fs::write(&file, "[[quota]]\nmodel = \"emulator.tools\"\ntokens_per_minute = 60000\n").unwrap();
    assert!(line_with(&lines, "the quota of emulator.tools is 60000").contains("WARN"), "also after a reload");
}
