//! Broken variants of the sample: each is refused with all its problems, by `serve` and by `check` in the same words.

use std::fs;

use crate::{
    process::{outcrop, run},
    stores::Folder,
};

/// A setting of the sample and what it is replaced with, and what is said about it.
struct Broken(&'static [(&'static str, &'static str)], &'static [&'static str]);

/// The sample with all of its settings.
fn sample() -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    // The certificates of its caller match something.
    let with_proxy = |line: String| match line.as_str() {
        "forwarded_client_certs = false" => "forwarded_client_certs = true".to_owned(),
        "trusted_proxy = []" => "trusted_proxy = [\"10.0.0.0/8\"]".to_owned(),
        _ => line,
    };
    include_str!("../../../outcrop.sample.toml").lines().map(|line| with_proxy(live(line)) + "\n").collect()
}

const VARIANTS: &[Broken] = &[
    // Settings.
    Broken(&[("listen =", "listen = \"here\"")], &["listen is \"here\""]),
    Broken(&[("listen =", "listen = true")], &["listen is a boolean; it must be a string or a number"]),
    Broken(&[("listen =", "listen = [\"127.0.0.1:1\"]")], &["listen is a list; it must be a string or a number"]),
    Broken(&[("listen =", "lisen = \"127.0.0.1:0\"")], &["lisen is not a known key; did you mean listen?"]),
    Broken(
        &[("listen =", "listen = \"0.0.0.0:1\"")],
        &["listen is 0.0.0.0:1, which others can reach, and connections are not encrypted"],
    ),
    Broken(&[("forwarded_client_certs =", "")], &["caller[0].certificates match nothing"]),
    Broken(&[("no_page =", "no_page = \"perhaps\"")], &["no_page is \"perhaps\"; it must be true or false"]),
    Broken(&[("allowed_host =", "allowed_host = [\"a b\"]")], &["allowed_host is \"a b\""]),
    Broken(&[("allowed_host =", "allowed_host = [[\"a\"]]")], &["allowed_host[0] is a list"]),
    Broken(&[("metrics_listen =", "metrics_listen = \"9090\"")], &["metrics_listen is \"9090\""]),
    Broken(&[("log =", "log = \"json\"")], &["log is \"json\", and no crate"]),
    Broken(&[("log =", "log = \"[\"")], &["log is \"[\", which cannot be parsed"]),
    Broken(&[("scripts =", "scripts = \"/nowhere\"")], &["scripts is /nowhere, which is not a folder"]),
    Broken(&[("region =", "region = \"us-east-1\"")], &["region applies only to AWS"]),
    Broken(&[("default_model =", "default_model = \"emulator.none\"")], &["default_model names emulator.none"]),
    Broken(&[("attempts =", "attempts = 0")], &["attempts is 0"]),
    Broken(&[("attempts =", "attempts = 1.5")], &["attempts is \"1.5\""]),
    Broken(&[("attempts =", "attempts = 1")], &["routes.fast has 2 targets"]),
    Broken(
        &[("max_request_memory =", "max_request_memory = 1")],
        &["max_request_memory is 1; it must be at least 8 times max_request_bytes"],
    ),
    Broken(
        &[("max_request_bytes =", "max_request_bytes = 4294967296")],
        &["max_request_bytes is 4294967296; it must be at most", "max_request_memory is"],
    ),
    Broken(&[("connect_timeout =", "connect_timeout = \"5\"")], &["connect_timeout is \"5\""]),
    Broken(
        &[("idle_timeout =", "idle_timeout = \"20m\"")],
        &["idle_timeout is 1200s, which is more than max_idle_timeout allows"],
    ),
    Broken(&[("grace =", "grace = \"-1s\"")], &["grace is \"-1s\""]),
    Broken(&[("total_timeout =", "total_timeout = 2027-01-01")], &["total_timeout is a date or time"]),
    Broken(&[("max_streams =", "max_streams = \"many\"")], &["max_streams is \"many\""]),
    Broken(
        &[("tokens_per_minute =", "tokens_per_minute = 10")],
        &["tokens_per_minute is 10, which is less than reserved_tokens (4096)"],
    ),
    Broken(&[("abandonment =", "abandonment = \"leave\"")], &["abandonment is \"leave\""]),
    Broken(&[("max_connections =", "max_connections = 99999999")], &["max_connections is 99999999; the limit of"]),
    Broken(&[("conversations =", "conversations = \"mem\"")], &["conversations is \"mem\""]),
    Broken(
        &[("conversations =", "conversations = \"redis://:swordfish@a\"")],
        &["conversations cannot be used: it holds a password"],
    ),
    Broken(&[("conversations_ca =", "conversations_ca = \"/ca.pem\"")], &["conversations_ca is for a Redis"]),
    Broken(
        &[("max_conversation_age =", "max_conversation_age = \"1000years\"")],
        &["max_conversation_age is \"1000years\"; it must be at most a year"],
    ),
    Broken(&[("tls_cert =", "tls_cert = \"/cert.pem\"")], &["tls_cert is set and --tls-key is not"]),
    Broken(&[("reflection =", "reflection = \"none\"")], &["reflection is \"none\""]),
    Broken(&[("trusted_proxy =", "trusted_proxy = [\"10.0.0.1\"]")], &["trusted_proxy is \"10.0.0.1\""]),
    Broken(&[("insecure_no_auth =", "insecure_no_auth = true")], &["insecure_no_auth"]),
    // Routes.
    Broken(&[("fast =", "fast = [\"a.b@moon\"]")], &["routes.fast has the target \"a.b@moon\""]),
    Broken(&[("fast =", "fast = [\"slow\"]\nslow = [\"fast\"]")], &["routes.fast loops", "routes.slow loops"]),
    Broken(
        &[("fast =", "fast = 1")],
        &[
            "routes.fast is a whole number; it must be a list of targets",
            "models[1] is \"fast\", which matches no route",
        ],
    ),
    // Aliases.
    Broken(&[("system =", "sytem = \"a\"")], &["alias.support.sytem is not a known key; did you mean system?"]),
    Broken(&[("model =", "")], &["alias.support has neither model nor targets"]),
    Broken(&[("model =", "model = \"nowhere\"")], &["alias.support.model names the unknown target \"nowhere\""]),
    Broken(&[("model =", "model = \"support\"")], &["alias.support.model loops"]),
    Broken(&[("model =", "targets = [\"a.b@moon\"]")], &["alias.support.targets has the target \"a.b@moon\""]),
    Broken(&[("[alias.support]", "[alias.fast]")], &["alias.fast.model is given twice"]),
    Broken(
        &[("model =", "model = \"ai21.j2-mid-v1\""), ("temperature =", "temperature = 2")],
        &[
            "alias.support.temperature is 2; it must be from 0 to 1",
            "alias.support.system is not supported in the native format of jurassic2",
        ],
    ),
    Broken(
        &[("max_tokens_limit =", "max_tokens_limit = 10")],
        &["alias.support.max_tokens is 1000, which is more than max_tokens_limit (10)"],
    ),
    Broken(
        &[("additional_model_request_fields =", "additional_model_request_fields = { a = 2027-01-01 }")],
        &["alias.support.additional_model_request_fields.a is a date or time, which JSON cannot have"],
    ),
    // Callers.
    Broken(&[("name =", "name = \"Billing Department\"")], &["caller[0].name is \"Billing Department\""]),
    Broken(
        &[("name =", "nam = \"billing\"")],
        &["caller[0].nam is not a known key; did you mean name?", "caller[0] has no name"],
    ),
    Broken(
        &[("keys =", "keys = [{ id = \"abcdefghjkmn\", sha256 = \"00\" }]")],
        &["caller[0].keys[0].sha256 has 2 characters"],
    ),
    Broken(
        &[(
            "keys =",
            "keys = [{ id = \"swordfish\", sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }]",
        )],
        &["caller[0].keys[0].id is not the id of a key"],
    ),
    Broken(
        &[("certificates =", "certificates = [\"CN=billing\"]")],
        &["caller[0].certificates[0] is \"CN=billing\", which is not a URI"],
    ),
    Broken(
        &[("jwt =", "jwt = [{ issuer = \"https://id.example.org\", claims = {} }]")],
        &[
            "caller[0].jwt[0].issuer is \"https://id.example.org\", which no [[issuer]] has; did you mean https://id.example.com?",
        ],
    ),
    Broken(
        &[("models =", "models = [\"fastt\"]")],
        &["caller[0].models[0] is \"fastt\", which matches no route; did you mean fast?"],
    ),
    Broken(&[("regions =", "regions = [\"europe\"]")], &["caller[0].regions[0] is \"europe\""]),
    Broken(
        &[("methods =", "methods = [\"Generat\"]")],
        &["caller[0].methods has \"Generat\", which is not a method; did you mean Generate?"],
    ),
    Broken(&[("s3_prefixes =", "s3_prefixes = [\"bucket\"]")], &["caller[0].s3_prefixes[0] is \"bucket\""]),
    Broken(
        &[("guardrail = { identifier = \"abc", "guardrail = { identifier = \"a\", version = \"latest\" }")],
        &["caller[0].guardrail.version is \"latest\""],
    ),
    Broken(
        &[("adopts_unowned_conversations =", "adopts_unowned_conversations = true")],
        &["caller[0].adopts_unowned_conversations is true, but"],
    ),
    Broken(&[("weight =", "weight = 0")], &["caller[0].weight is 0; it must be a whole number from 1 to 1000"]),
    Broken(
        &[("priority =", "priority = \"high\"")],
        &["caller[0].priority is \"high\"; it must be interactive or batch"],
    ),
    Broken(&[("tokens_per_day =", "tokens_per_day = 0")], &["caller[0].budget.tokens_per_day is 0; it must be"]),
    Broken(&[("tokens_per_month =", "tokens_per_month = 1.5")], &["caller[0].budget.tokens_per_month is a number"]),
    Broken(&[("cost_per_day =", "cost_per_day = 0")], &["caller[0].budget.cost_per_day is 0; it must be more than 0"]),
    Broken(
        &[("cost_per_month =", "cost_per_month = 0.0000001")],
        &["caller[0].budget.cost_per_month is 0.0000001, which has more than 6 decimals"],
    ),
    Broken(
        &[("models =", "")],
        &[
            "caller[0].budget.cost_per_day limits the cost, and the caller may use every model, also one without a price",
        ],
    ),
    Broken(
        &[("[price.\"amazon", "[price.\"amazon.nova-micro-v1:0\"]")],
        &["caller[0].budget.cost_per_day limits the cost, and there is no price of amazon.nova-lite-v1:0"],
    ),
    // Quotas and prices.
    Broken(
        &[("tokens_per_minute = 4000000", "tokens_per_minute = 0")],
        &["quota[0].tokens_per_minute is 0; it must be a whole number from 1 to"],
    ),
    Broken(&[("requests_per_minute = 2000", "requests_per_minute = -1")], &["quota[0].requests_per_minute is -1"]),
    Broken(
        &[("tokens_per_minute_code =", "tokens_per_minute_code = \"tokens\"")],
        &[
            "quota[0].tokens_per_minute_code is \"tokens\", which is not the code of a quota in AWS Service Quotas, such as",
        ],
    ),
    Broken(
        &[("requests_per_minute = 2000", "")],
        &["quota[0].requests_per_minute_code is \"L-5678CDEF\", and requests_per_minute is missing. Add it"],
    ),
    Broken(&[("streams = 500", "streams = \"many\"")], &["quota[0].streams is \"many\""]),
    Broken(&[("output_burndown =", "output_burndown = 0.5")], &["quota[0].output_burndown is a number; it must be"]),
    Broken(&[("max_tokens = 5000", "max_tokens = 0")], &["quota[0].max_tokens is 0; it must be"]),
    Broken(&[("burst_percent =", "burst_percent = 101")], &["quota[0].burst_percent is 101; it must be"]),
    Broken(
        &[("region = \"us-east-1\"", "region = \"europe\"")],
        &["quota[0].region is \"europe\", which is not an AWS region"],
    ),
    Broken(
        &[("model = \"us.amazon.nova-lite", "model = \"us.amazon.nova-lit-v1:0\"")],
        &[
            "quota[0].model is \"us.amazon.nova-lit-v1:0\", which no route, alias or default model names and no caller may use; did you mean us.amazon.nova-lite-v1:0?",
        ],
    ),
    Broken(
        &[("burst_percent =", "[[quota]]\nmodel = \"us.amazon.nova-lite-v1:0\"\nstreams = 1")],
        &["quota[1].model is \"us.amazon.nova-lite-v1:0\" in us-east-1, as of quota[0] in line"],
    ),
    Broken(
        &[("input =", "input = -0.06")],
        &["price.us.amazon.nova-lite-v1:0.input is -0.06; it must be a number of at"],
    ),
    Broken(&[("output =", "output = 0.0000001")], &["output is 0.0000001, which has more than 6 decimals. Round it"]),
    Broken(&[("cache_read =", "cache_read = 1e3")], &["cache_read is 1e3; it must be a number"]),
    Broken(&[("cache_write =", "cache_writes = 1")], &["cache_writes is not a known key; did you mean cache_write?"]),
    Broken(&[("quota_queue_time =", "quota_queue_time = \"soon\"")], &["quota_queue_time is \"soon\""]),
    Broken(&[("quota_queue_length =", "quota_queue_length = 0")], &["quota_queue_length is 0"]),
    Broken(&[("cache_affinity =", "cache_affinity = \"-2s\"")], &["cache_affinity is \"-2s\""]),
    Broken(&[("share_limits =", "share_limits = true")], &["share_limits is a boolean"]),
    Broken(&[("share_limits =", "share_limits = \"on\"")], &["share_limits is \"on\"; it must be auto or off"]),
    // Issuers.
    Broken(
        &[("issuer =", "issuer = \"http://id.example.com\"")],
        &["issuer[0].issuer is \"http://id.example.com\"; it must begin with https://", "which no [[issuer]] has"],
    ),
    Broken(&[("audiences =", "audiences = []")], &["issuer[0].audiences is empty"]),
    Broken(
        &[("algorithms =", "algorithms = [\"HS256\"]")],
        &["issuer[0].algorithms[0] cannot be used: `HS256` is never accepted"],
    ),
    Broken(&[("ca =", "ca = \"/nowhere/ca.pem\"")], &["issuer[0].ca is \"/nowhere/ca.pem\", which cannot be read"]),
    // The whole file.
    Broken(&[("grace =", "grace = ")], &["outcrop.toml:"]),
    Broken(&[("grace =", "grace = \"1s\"\ngrace = \"2s\"")], &["duplicate key"]),
    Broken(&[("## Routes", "[server]\nport = 1")], &["server is not a known key"]),
    Broken(
        &[
            ("attempts =", "attempts = 0"),
            ("grace =", "grace = \"soon\""),
            ("name =", "name = \"\""),
            ("algorithms =", "algorithms = [\"none\"]"),
            ("queue_length =", "queue_lenght = 1"),
        ],
        &[
            "attempts is 0",
            "grace is \"soon\"",
            "caller[0].name is empty",
            "issuer[0].algorithms[0] cannot be used: `none` is never accepted",
            "queue_lenght is not a known key; did you mean queue_length?",
        ],
    ),
];

#[test]
fn broken_variants_of_the_sample_are_refused_with_all_their_problems_by_serve_and_by_check() {
    let folder = Folder::new("config-broken");
    let file = folder.file("outcrop.toml");
    let sample = sample();
    fs::write(&file, &sample).unwrap();
    let (out, err, code) = run(&mut outcrop(&["check", "--local", "--config", &file]));
    assert!(out.starts_with("ok\n") && code == Some(0), "the sample itself: {err}");
    assert!(VARIANTS.len() >= 40);
    for Broken(replaced, said) in VARIANTS {
        let mut text = sample.clone();
        for (from, to) in *replaced {
            // A caller has keys with the names of settings, which come first.
            let start = text.find(&format!("\n{from}")).unwrap_or_else(|| panic!("{from} is not in the sample")) + 1;
            let end = start + text[start..].find('\n').unwrap();
            text.replace_range(start..end, to);
        }
        fs::write(&file, text).unwrap();
        let flags = ["--local", "--config", &file];
        let (out, err, code) = run(&mut outcrop(&[&["serve"], &flags[..]].concat()));
        assert_eq!((out.as_str(), code), ("", Some(2)), "{replaced:?}: {err}");
        for said in *said {
            let found = err.lines().any(|line| line.contains(said) && line.contains("outcrop.toml:"));
            assert!(found, "{said} with its line in {err}");
        }
        assert_eq!(err.lines().filter(|line| line.starts_with("  - ")).count(), said.len(), "{replaced:?}: {err}");
        assert!(!err.contains("swordfish"), "{err}");
        let checked = run(&mut outcrop(&[&["check"], &flags[..]].concat()));
        assert_eq!(checked, (out, err, code), "check says what serve says");
    }
}
