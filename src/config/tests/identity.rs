//! Tests of the blocks `[[caller]]` and `[[issuer]]`.

use super::{
    layering::{TestFile, problems, resolve},
    *,
};

/// A SHA-256 as it is written.
const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Flags with which certificates of callers match something.
const FORWARDED: [&str; 4] = ["--local", "--forwarded-client-certs", "--trusted-proxy", "10.0.0.0/8"];

/// A file with everything that callers and issuers can have.
const WHOLE: &str = r#"
[routes]
fast = ["us.a.b@us-east-1"]

[[caller]]
name = "billing"
tenant = "acme"
keys = [
  { id = "abcdefghjkmn", sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", expires = 2027-01-31T12:00:00+02:00 },
  { id = "bbcdefghjkmn", sha256 = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF", expires = "2027-01-31T10:00:00Z", disabled = true },
]
certificates = ["spiffe://example.org/billing"]
jwt = [{ issuer = "https://id.example.com", claims = { groups = "billing", sub = "a" } }]
models = ["fast", "amazon.nova-lite-v1:0", "anthropic.*", "fa*", "*", "arn:aws:bedrock:us-east-1:1:x/y"]
regions = ["us-east-1"]
methods = ["Generate", "CountTokens", "reflection", "metrics"]
native_bodies = true
s3_prefixes = ["s3://bucket/folder/"]
max_streams = 5
requests_per_minute = 60
other_requests_per_minute = 70
tokens_per_minute = 10000
guardrail = { identifier = "abc", version = "7" }
request_metadata = { team = "billing" }

[[caller]]
name = "other"
certificates = ["spiffe://example.org/other"]
adopts_unowned_conversations = true

[[issuer]]
issuer = "https://id.example.com"
audiences = ["outcrop"]
algorithms = ["RS256", "ES256", "EdDSA"]
jwks_uri = "https://id.example.com/keys"
"#;

#[test]
fn every_key_of_a_caller_and_of_an_issuer_is_read() {
    let file = TestFile::new("whole", WHOLE);
    let IdentitySettings { callers, issuers } = resolve(&file, &FORWARDED, &[]).unwrap().identity;
    let [billing, other] = &callers[..] else { panic!("two callers") };
    assert_eq!((billing.name.as_str(), billing.tenant.as_str()), ("billing", "acme"));
    assert_eq!((other.name.as_str(), other.tenant.as_str()), ("other", "other"), "a caller is its own tenant");
    let expected = humantime::parse_rfc3339("2027-01-31T10:00:00Z").unwrap();
    assert_eq!(billing.keys.iter().map(|key| key.expires_at).collect::<Vec<_>>(), [Some(expected); 2]);
    assert_eq!((billing.keys[0].sha256[1], billing.keys[1].sha256[31]), (0x23, 0xef));
    assert_eq!((billing.keys[0].disabled, billing.keys[1].disabled), (false, true));
    assert_eq!(billing.certificates, ["spiffe://example.org/billing"]);
    assert_eq!(billing.tokens[0].claims["groups"], "billing");
    let permissions = &billing.permissions;
    assert_eq!(permissions.models.as_ref().unwrap().len(), 6);
    assert_eq!((permissions.methods.as_ref().unwrap().len(), permissions.native_bodies), (4, true));
    assert_eq!(permissions.s3_prefixes, ["s3://bucket/folder/"]);
    assert!(other.permissions.models.is_none() && other.permissions.methods.is_none());
    let limits = (billing.limits.max_streams, billing.limits.tokens_per_minute.map(u32::from));
    assert_eq!(limits, (Some(5), Some(10_000)));
    assert_eq!(billing.imposed.guardrail.as_ref().unwrap().version, "7");
    assert_eq!(billing.imposed.request_metadata["team"], "billing");
    assert_eq!((issuers[0].algorithms.len(), issuers[0].audiences.len()), (3, 1));
    assert!(other.adopts_unowned_conversations && !billing.adopts_unowned_conversations);
}

/// The problems of a file with this line in a caller that is otherwise valid. The line is the fourth.
fn in_caller(name: &str, line: &str) -> Vec<String> {
    let key = format!("keys = [{{ id = \"abcdefghjkmn\", sha256 = \"{HASH}\" }}]");
    let key = if line.starts_with("keys") { "" } else { &key };
    problems(name, &format!("[[caller]]\nname = \"a\"\n{key}\n{line}\n"), &FORWARDED, &[])
}

#[test]
fn a_wrong_value_of_a_caller_is_refused_with_its_line() {
    let id = "abcdefghjkmn";
    let cases = [
        ("tenant = \"A b\"", "tenant is \"A b\"; it must be 1 to 64 characters"),
        ("tenat = \"b\"", "tenat is not a known key; did you mean tenant?"),
        ("max_streams = 0", "max_streams is 0; it must be a whole number of at least 1"),
        ("tokens_per_minute = 100", "tokens_per_minute is 100, which is less than --reserved-tokens (4096)"),
        ("models = [\"a*b\"]", "models[0] is \"a*b\"; a `*` can only be at the end"),
        ("models = [\"amazon.x\", \"quick\"]", "models[1] is \"quick\", which matches no route"),
        ("models = [\"quick*\"]", "models[0] is \"quick*\", which matches no route"),
        ("models = \"a.b\"", "models is \"a.b\"; it must be a list of strings"),
        ("models = [\"a.b\", 7, \"\", \"quick\"]", "models[1] is a whole number; it must be a string"),
        ("regions = [\"moon\"]", "regions[0] is \"moon\", which is not an AWS region"),
        ("methods = [\"Generat\"]", "methods has \"Generat\", which is not a method; did you mean Generate?"),
        ("native_bodies = \"yes\"", "native_bodies is \"yes\"; it must be true or false"),
        ("s3_prefixes = [\"bucket\"]", "s3_prefixes[0] is \"bucket\"; it must be s3://BUCKET/"),
        ("s3_prefixes = [\"s3://bucket\"]", "s3_prefixes[0] is \"s3://bucket\"; it must end with /"),
        ("guardrail = { identifier = \"a\" }", "guardrail has no version"),
        (
            "guardrail = { identifier = \"a\", version = \"x\" }",
            "guardrail.version is \"x\"; it must be a number or DRAFT",
        ),
        ("request_metadata = { \"a;\" = \"b\" }", "request_metadata.a; is \"a;\"; it must be 1 to 256 characters"),
        ("certificates = [\"example\"]", "certificates[0] is \"example\", which is not a URI"),
        ("certificates = [\"spiffe://a/*\"]", "certificates[0] is \"spiffe://a/*\", which has a `*`"),
        (
            "certificates = [\"spiffe://a\", \"spiffe://a\"]",
            "certificates[1] is the same as caller[0].certificates[0] in line 4",
        ),
        ("jwt = [{ claims = {} }]", "jwt[0] has no issuer"),
        ("jwt = [{ issuer = \"https://a\", claims = {} }]", "jwt[0].issuer is \"https://a\", which no [[issuer]] has"),
        ("keys = 1", "keys is 1; it must be a list of tables"),
        (&format!("keys = [{{ id = \"{id}\" }}]"), "keys[0] has no sha256"),
        (&format!("keys = [{{ id = \"{id}\", sha256 = \"{}\" }}]", &HASH[1..]), "keys[0].sha256 has 63 characters"),
        (
            &format!("keys = [{{ id = \"{id}\", sha256 = \"{HASH}\", expires = 2027-01-01 }}]"),
            "keys[0].expires is 2027-01-01; it must have",
        ),
        (
            &format!("keys = [{{ id = \"{id}\", sha256 = \"{HASH}\", expires = \"soon\" }}]"),
            "keys[0].expires is \"soon\"; it must be a date and time",
        ),
        (
            &format!("keys = [{{ id = \"{id}\", sha256 = \"{HASH}\" }}, {{ id = \"{id}\", sha256 = \"{HASH}\" }}]"),
            "keys[1].id is the same as caller[0].keys[0].id in line 4",
        ),
        ("keys = []", "has no credentials"),
    ];
    for (at, (line, said)) in cases.into_iter().enumerate() {
        let found = in_caller(&format!("caller-{at}"), line);
        let expected = if said.starts_with("has no credentials") {
            format!("F:1: caller[0] {said}")
        } else {
            format!("F:4: caller[0].{said}")
        };
        assert!(found.iter().any(|problem| problem.starts_with(&expected)), "{expected} in {found:#?}");
    }
}

#[test]
fn a_key_in_place_of_its_hash_is_refused_and_not_repeated() {
    let secret = "oc_abcdefghjkmn_0123456789abcdefghij0123456789abcdefghijABC";
    for line in [
        format!("keys = [{{ id = \"abcdefghjkmn\", sha256 = \"{secret}\" }}]"),
        format!("keys = [{{ id = \"{secret}\", sha256 = \"{HASH}\" }}]"),
        format!("keys = [{{ id = \"abcdefghjkmn\", sha256 = \"{HASH}\", key = \"{secret}\" }}]"),
        format!("keys = [{{ id = \"abcdefghjkmn\", sha256 = [\"{secret}\"] }}]"),
        format!("keys = [\"{secret}\"]"),
        format!("keys = \"{secret}\""),
    ] {
        let found = in_caller("secret", &line).join("\n");
        assert!(found.contains("keys") && !found.contains(&secret[16..]), "{found}");
    }
}

#[test]
fn callers_that_contradict_each_other_are_refused_together() {
    let text = format!(
        "
[[caller]]
name = \"a\"
keys = [{{ id = \"abcdefghjkmn\", sha256 = \"{HASH}\" }}]
adopts_unowned_conversations = true
[[caller]]
name = \"a\"
keys = [{{ id = \"bbcdefghjkmn\", sha256 = \"{HASH}\" }}]
adopts_unowned_conversations = true
jwt = [{{ issuer = \"https://i\", claims = {{}} }}, {{ issuer = \"https://i\", claims = {{}} }}]
[[issuer]]
issuer = \"https://i\"
audiences = [\"x\"]
algorithms = [\"RS256\"]
[[issuer]]
issuer = \"https://i\"
audiences = []
algorithms = [\"HS256\", \"none\"]
jwks_uri = \"http://i/keys\"
ca = \"/nowhere.pem\"
"
    );
    let found = problems("contradictions", &text, &["--local"], &[]);
    let expected = [
        "F:7: caller[1].name is the same as caller[0].name in line 3. Each must be there once",
        "F:8: caller[1].keys[0].sha256 is the same as caller[0].keys[0].sha256 in line 4",
        "F:9: caller[1].adopts_unowned_conversations is true for a second caller",
        "F:9: caller[1].adopts_unowned_conversations is true, but",
        "F:10: caller[1].jwt[1] is the same as caller[1].jwt[0] in line 10",
        "F:16: issuer[1].issuer is the same as issuer[0].issuer in line 12",
        "F:17: issuer[1].audiences is empty",
        "F:18: issuer[1].algorithms[0] cannot be used: `HS256` is never accepted",
        "F:18: issuer[1].algorithms[1] cannot be used: `none` is never accepted",
        "F:19: issuer[1].jwks_uri is \"http://i/keys\"; it must begin with https://",
        "F:20: issuer[1].ca is \"/nowhere.pem\", which cannot be read",
    ];
    for part in expected {
        assert!(found.iter().any(|problem| problem.starts_with(part)), "{part} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn certificates_match_nothing_if_no_client_is_asked_for_one() {
    let caller = "[[caller]]\nname = \"a\"\ncertificates = [\"spiffe://a/b\"]\n";
    let found = problems("unasked", caller, &["--local"], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(":3: ") && found[0].contains("certificates match nothing"), "{found:?}");
    resolve(&TestFile::new("asked-by-proxy", caller), &FORWARDED, &[]).unwrap();
    let found = problems("proxy", "", &["--local", "--trusted-proxy-cert", "spiffe://a/proxy"], &[]);
    assert!(found.len() == 1 && found[0].contains("--trusted-proxy-cert matches nothing"), "{found:?}");
}
