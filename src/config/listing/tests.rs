//! Tests of what is printed.

use super::*;
use crate::config::{Command, Inputs, Settings, tests::TestFile};

/// The sample with all of its settings, except those that are refused beside the defaults of others.
fn uncommented() -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("certificates") => line.to_owned(),
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    include_str!("../../../outcrop.sample.toml").lines().map(|line| live(line) + "\n").collect()
}

fn resolve(flags: &[&str], variables: &[(&str, &str)]) -> (Settings, Layers) {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (cli, layers) = Inputs::new([&["outcrop", "serve"], flags].concat(), variables).load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    (args.resolve(&layers).unwrap(), layers)
}

#[test]
fn the_sample_is_the_one_that_the_program_prints() {
    let file = include_str!("../../../outcrop.sample.toml");
    assert!(file == sample(), "run: cargo run -- config --sample > outcrop.sample.toml");
}

#[test]
fn the_sample_has_every_setting_with_its_default() {
    let file = TestFile::new("sample", &uncommented());
    let (mut settings, layers) = resolve(&["--config", file.path()], &[]);
    for arg in arguments("serve").iter().filter(|arg| long(arg) != CONFIG) {
        let key = if long(arg) == "route" { "routes".to_owned() } else { key(arg) };
        assert!(layers.file.as_ref().unwrap().line(&key).is_some(), "{key} is not in the sample");
    }
    assert_eq!((settings.identity.callers.len(), settings.identity.issuers.len()), (1, 1));
    assert_eq!((settings.rules.routes.names().count(), settings.rules.aliases.len()), (2, 1));
    assert_eq!((settings.quotas.quotas.len(), settings.quotas.prices.len()), (1, 2));
    let (defaults, _) = resolve(&[], &[]);
    (settings.identity, settings.rules.routes) = (defaults.identity.clone(), defaults.rules.routes.clone());
    settings.rules.aliases.clear();
    settings.quotas.quotas.clear();
    settings.quotas.prices.clear();
    assert_eq!(format!("{settings:?}"), format!("{defaults:?}"));
}

#[test]
fn the_sample_as_it_is_sets_nothing() {
    let file = TestFile::new("comments", include_str!("../../../outcrop.sample.toml"));
    let (settings, layers) = resolve(&["--config", file.path()], &[]);
    assert!(layers.file.unwrap().values.is_empty());
    assert_eq!(format!("{settings:?}"), format!("{:?}", resolve(&[], &[]).0));
}

#[test]
fn what_is_in_force_is_a_file_with_the_same_settings_and_says_where_each_comes_from() {
    let text =
        uncommented().replace("grace = \"30s\"", "grace = \"2s\"").replace("max_streams = 10000", "max_streams = 9");
    let file = TestFile::new("in-force", &text);
    let variables = [("OUTCROP_LOCAL", "yes"), ("OUTCROP_LAME_DUCK", "3s")];
    let (settings, layers) = resolve(&["--config", file.path(), "--queue-time", "4s", "--no-page"], &variables);
    let printed = in_force(&layers);
    let line = |text: &str| layers.file.as_ref().unwrap().line(text).unwrap();
    for expected in [
        "local = true  # OUTCROP_LOCAL\n".to_owned(),
        "no_page = true  # --no-page\n".to_owned(),
        "lame_duck = \"3s\"  # OUTCROP_LAME_DUCK\n".to_owned(),
        "queue_time = \"4s\"  # --queue-time\n".to_owned(),
        format!("grace = \"2s\"  # {}:{}\n", file.path(), line("grace")),
        format!("max_streams = 9  # {}:{}\n", file.path(), line("max_streams")),
        format!("# {}:{}\n[routes]\nfast = [", file.path(), line("routes")),
        format!("# {}:{}\n[[caller]]\n", file.path(), line("caller[0]")),
    ] {
        assert!(printed.contains(&expected), "{expected} in {printed}");
    }
    let (same, _) = resolve(&["--config", TestFile::new("printed", &printed).path()], &[]);
    assert_eq!(format!("{same:?}"), format!("{settings:?}"));
    let (_, defaults) = resolve(&[], &[]);
    assert!(in_force(&defaults).contains("# region is not set: from the standard chain"), "{}", in_force(&defaults));
}

#[test]
fn a_password_in_an_address_is_not_printed() {
    for (value, printed) in [
        ("redis://user:swordfish@host:1/0", "redis://user:***@host:1/0"),
        ("redis://:sword@fish/@a,b", "redis://:***@a,b"),
        ("redis://user@host", "redis://user@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("no address: @", "no address: @"),
    ] {
        assert_eq!(redacted(value), printed);
    }
}

#[test]
fn every_setting_is_in_a_group_and_its_variable_is_named_after_it() {
    for arg in settings() {
        assert!(arg.get_help_heading().is_some(), "--{} is in no group of the help", long(&arg));
        let variable = arg.get_env().unwrap().to_str().unwrap();
        let name = format!("OUTCROP_{}", key(&arg).to_uppercase());
        // Lists are in the plural there.
        let plural = name.strip_suffix('Y').map_or_else(|| format!("{name}S"), |name| format!("{name}IES"));
        assert!(variable == name || (is_list(&arg) && variable == plural), "--{} and {variable}", long(&arg));
    }
}
