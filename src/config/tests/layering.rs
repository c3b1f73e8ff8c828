//! Tests of the configuration file, and of the precedence of flags, variables, file and defaults.

use std::{fs, path::PathBuf, time::Duration};

use super::*;

/// A file that is removed at the end of the test.
pub(in crate::config) struct TestFile(PathBuf);

impl TestFile {
    pub(in crate::config) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcrop-test-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(in crate::config) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The settings of this file with these flags and variables.
pub(super) fn resolve(file: &TestFile, flags: &[&str], variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let arguments = [&["outcrop", "serve", "--config", file.path()], flags].concat();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (cli, layers) = Inputs::new(arguments, variables).load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    args.resolve(&layers)
}

/// The problems, each without the folder of the file.
pub(super) fn problems(name: &str, text: &str, flags: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let file = TestFile::new(name, text);
    let ConfigError(problems) = resolve(&file, flags, variables).unwrap_err();
    problems.into_iter().map(|problem| problem.replace(file.path(), "F")).collect()
}

#[test]
fn a_flag_replaces_a_variable_which_replaces_the_file_which_replaces_the_default() {
    let text = "grace = \"1s\"\nlame_duck = \"2s\"\nidle_timeout = \"3s\"\nno_page = true\nmax_streams = 0x10\nallowed_host = [\"a.example\"]\n";
    let file = TestFile::new("precedence", text);
    let variables = [("OUTCROP_GRACE", "4s"), ("OUTCROP_LAME_DUCK", "5s"), ("OUTCROP_IDLE_TIMEOUT", "")];
    let settings = resolve(&file, &["--local", "--grace", "6s", "--no-page=false"], &variables).unwrap();
    assert_eq!(settings.shutdown.grace, Duration::from_secs(6), "the flag");
    assert_eq!(settings.shutdown.lame_duck, Duration::from_secs(5), "the variable");
    assert_eq!(settings.rules.timeouts.default.idle, Duration::from_secs(3), "the file, because the variable is empty");
    assert_eq!(settings.attempts, 3, "the default");
    assert!(settings.page, "a flag can also say no");
    assert_eq!((settings.limits.streams, settings.allowed_hosts), (16, vec!["a.example".to_owned()]));
}

#[test]
fn the_file_can_be_named_by_the_variable_and_the_flag_replaces_it() {
    let (named, other) = (TestFile::new("named", "attempts = 2"), TestFile::new("other", "attempts = 1"));
    let variables = [("OUTCROP_CONFIG".to_owned(), named.path().to_owned())];
    let attempts = |flags: &[&str]| {
        let (cli, layers) = Inputs::new([&["outcrop", "serve"], flags].concat(), variables.clone()).load().unwrap();
        let Command::Serve(args) = cli.command else { panic!("serve") };
        args.resolve(&layers).unwrap().attempts
    };
    assert_eq!((attempts(&[]), attempts(&["--config", other.path()])), (2, 1));
}

#[test]
fn a_variable_of_a_flag_that_is_true_or_false_takes_the_usual_words() {
    let file = TestFile::new("booleans", "local = true");
    let local = |value: &str| match resolve(&file, &[], &[("OUTCROP_LOCAL", value)]) {
        Ok(settings) => Ok(matches!(settings.upstream, UpstreamSettings::Local { .. })),
        Err(ConfigError(problems)) => Err(problems.join("\n")),
    };
    for word in ["1", "true", "yes", "", "TRUE", "on"] {
        assert_eq!(local(word), Ok(true), "{word:?}");
    }
    for word in ["0", "false", "no"] {
        assert_eq!(local(word), Ok(false), "{word:?}");
    }
    assert_eq!(local("banana").unwrap_err(), "OUTCROP_LOCAL is \"banana\"; it must be true or false");
}

#[test]
fn routes_are_a_table() {
    let text = "[routes]\nfast = [\"us.a.b@us-east-1\", \"backup\"]\nbackup = \"a.b@eu-west-1\"\n\"x.y\" = [\"x.y\", \"@us-west-2\"]\n";
    let file = TestFile::new("routes", text);
    let routes = resolve(&file, &["--local"], &[]).unwrap().rules.routes;
    let targets = |name: &str| routes.targets(name).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(targets("fast"), ["us.a.b@us-east-1", "a.b@eu-west-1"]);
    assert_eq!(targets("x.y"), ["x.y", "x.y@us-west-2"]);
    let routes = resolve(&file, &["--local", "--route", "other=a.b"], &[]).unwrap().rules.routes;
    assert_eq!(routes.names().collect::<Vec<_>>(), ["other"], "a flag replaces all of them");
}

#[test]
fn every_problem_names_the_place_of_the_value() {
    let text = "\
attempts = 0
max_stream = 5
idle_timeout = \"20m\"
listen = true
local = 7
allowed-host = [\"a\"]
queue_length = \"many\"

[routes]
a = [\"b\"]
b = [\"a\"]
c = 5
d = [\"x.y,z.w\"]

[server]
port = 1
";
    let flags = ["--grace", "soon", "--tokens-per-minute", "10"];
    let found = problems("places", text, &flags, &[("OUTCROP_RESERVED_TOKENS", "20"), ("OUTCROP_MAX_DRAINS", "0")]);
    let expected = [
        "F:1: attempts is 0; it must be",
        "F:2: max_stream is not a known key; did you mean max_streams?",
        "F:3: idle_timeout is 1200s, which is more than --max-idle-timeout allows (900s)",
        "F:4: listen is a boolean; it must be a string or a number",
        "F:5: local is \"7\"; it must be true or false",
        "F:6: allowed-host is not a known key; did you mean allowed_host?",
        "F:7: queue_length is \"many\"; it must be",
        "F:10: routes.a loops: a -> b -> a",
        "F:11: routes.b loops: b -> a -> b",
        "F:12: routes.c is a whole number; it must be a list of targets",
        "F:13: routes.d has a target with a comma",
        "F:15: server is not a known key",
        "--grace is \"soon\"",
        "--tokens-per-minute is 10, which is less than OUTCROP_RESERVED_TOKENS (20)",
        "OUTCROP_MAX_DRAINS is 0",
    ];
    for part in expected {
        assert!(found.iter().any(|problem| problem.starts_with(part)), "{part} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_reported_with_its_lines_and_with_all_other_problems() {
    let found = problems("syntax", "grace = \nlisten = \"a\nx = 1\nx = 2\n", &["--attempts", "0"], &[]);
    for line in ["F:1: ", "F:2: ", "F:4: "] {
        assert!(found.iter().any(|problem| problem.starts_with(line)), "{line} in {found:#?}");
    }
    assert!(found.iter().any(|problem| problem.starts_with("--attempts is 0")), "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_by_the_flag_or_the_variable() {
    let variable = ("OUTCROP_CONFIG".to_owned(), "/nowhere/o.toml".to_owned());
    for (flags, said) in [
        (vec!["--config", "/nowhere/x.toml"], "--config is \"/nowhere/x.toml\", which cannot be read: No such file"),
        (vec![], "OUTCROP_CONFIG is \"/nowhere/o.toml\", which cannot be read: No such file"),
        (vec!["--config", "/"], "--config is \"/\", which cannot be read"),
        (vec!["--config", "/dev/zero"], "--config is \"/dev/zero\", which is larger than 16 MiB"),
    ] {
        let (cli, layers) = Inputs::new([vec!["outcrop", "serve"], flags].concat(), [variable.clone()]).load().unwrap();
        let Command::Serve(args) = cli.command else { panic!("serve") };
        let ConfigError(problems) = args.resolve(&layers).unwrap_err();
        assert!(problems[0].starts_with(said), "{problems:?}");
    }
}

#[test]
fn a_setting_below_a_table_is_told_where_it_belongs() {
    let text = "[routes]\na = [\"x.y\"]\nlocal = \"x.y\"\ngrace = \"5s\"\nmax_streams = 5\n[[caller]]\nname = \"a\"\nkeys = [{ id = \"abcdefghjkmn\", sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }]\nlisten = \"127.0.0.1:0\"\n";
    let found = problems("misplaced", text, &["--local"], &[]);
    let said = "is a setting of the server. Write it above the first [table] of the file";
    let places = ["F:4: routes.grace", "F:5: routes.max_streams", "F:9: caller[0].listen"];
    assert_eq!(found, places.map(|place| format!("{place} {said}")));
}
