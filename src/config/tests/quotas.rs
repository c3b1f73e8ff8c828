//! Tests of the blocks `[[quota]]` and `[price."MODEL"]`, and of the flags of the waiting for quota.

use std::num::{NonZeroU32, NonZeroU64};

use super::{
    layering::{TestFile, problems, resolve},
    *,
};
use crate::quota::settings::{Budget, ModelQuota, Price, QueueShare};

/// The keys of a caller, without its name.
pub(super) const KEYS: &str =
    "keys = [{ id = \"abcdefghjkmn\", sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }]";

const WHOLE: &str = r#"
quota_queue_time = "0s"
quota_queue_length = 7
share_limits = "off"
[routes]
fast = ["us.a.b@us-east-1", "c.d"]
[[quota]]
model = "us.a.b"
region = "us-east-1"
tokens_per_minute = 1_000_000
requests_per_minute = 200
streams = 30
output_burndown = 3
max_tokens = 4096
burst_percent = 100
[[quota]]
model = "us.anthropic.claude-sonnet-4-20250514-v1:0"
streams = 4
[price."us.a.b"]
input = 3
output = 15.00
cache_read = 0.3
cache_write = 3.75
[price."c.d"]
input = 0.075
output = 0
[[caller]]
name = "a"
KEYS
models = ["fast"]
weight = 1000
priority = "batch"
[caller.budget]
tokens_per_day = 5
tokens_per_month = 1000000000000000
cost_per_day = 0.000001
cost_per_month = 300.50
[[caller]]
name = "b"
certificates = ["spiffe://b"]
"#;

pub(super) const FLAGS: [&str; 4] = ["--local", "--forwarded-client-certs", "--trusted-proxy", "10.0.0.0/8"];

#[test]
fn every_key_of_quotas_prices_and_budgets_is_read() {
    let file = TestFile::new("quotas-whole", &WHOLE.replace("KEYS", KEYS));
    let Settings { quotas, share_limits, identity, .. } = resolve(&file, &FLAGS, &[]).unwrap();
    let whole = ModelQuota {
        region: Some("us-east-1".to_owned()),
        tokens_per_minute: NonZeroU64::new(1_000_000),
        requests_per_minute: NonZeroU64::new(200),
        streams: NonZeroU32::new(30),
        output_burndown: 3,
        max_tokens: 4_096,
        burst_percent: 100,
        ..ModelQuota::of("us.a.b")
    };
    let short = ModelQuota::of("us.anthropic.claude-sonnet-4-20250514-v1:0");
    assert_eq!(quotas.quotas, [whole, ModelQuota { streams: NonZeroU32::new(4), output_burndown: 5, ..short }]);
    let price = Price { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 };
    assert_eq!(quotas.prices["us.a.b"], price);
    let price = Price { input: 75_000, output: 0, cache_read: 75_000, cache_write: 75_000 };
    assert_eq!(quotas.prices["c.d"], price, "cached input costs what input costs");
    assert_eq!((quotas.queue_time, quotas.queue_length), (Duration::ZERO, 7));
    assert_eq!((quotas.cache_affinity, share_limits), (Duration::from_secs(2), false));
    let [a, b] = &identity.callers[..] else { panic!("two callers") };
    assert_eq!(a.queue_share, QueueShare { weight: 1_000, is_batch: true });
    let budget = Budget {
        tokens_per_day: NonZeroU64::new(5),
        tokens_per_month: NonZeroU64::new(1_000_000_000_000_000),
        cost_per_day: NonZeroU64::new(1),
        cost_per_month: NonZeroU64::new(300_500_000),
    };
    assert_eq!(a.budget, budget);
    assert_eq!((b.queue_share, b.budget), (QueueShare::default(), Budget::default()));
}

/// The problems of a file with this text below two routes and an alias. It begins in line 6.
pub(super) fn below_routes(name: &str, text: &str) -> Vec<String> {
    let routes = "[routes]\nfast = [\"us.a.b@us-west-2\", \"c.d\"]\nslow = \"fast\"\n[alias.short]\nmodel = \"e.f\"\n";
    problems(name, &format!("{routes}{text}"), &FLAGS, &[])
}

#[test]
fn a_wrong_value_of_a_quota_is_refused_with_its_line() {
    for (at, (line, said)) in [
        ("tokens_per_minute = 0", "tokens_per_minute is 0; it must be a whole number from 1 to 1000000000000"),
        ("tokens_per_minute = -5", "tokens_per_minute is -5; it must be a whole number"),
        ("requests_per_minute = 0.5", "requests_per_minute is a number; it must be a whole number"),
        ("requests_per_minute = \"L-1\"", "requests_per_minute is \"L-1\"; it must be a whole number"),
        ("streams = 4294967296", "streams is 4294967296; it must be a whole number from 1 to 4294967295"),
        ("output_burndown = 0", "output_burndown is 0; it must be a whole number from 1 to 100"),
        ("output_burndown = 101", "output_burndown is 101; it must be a whole number from 1 to 100"),
        ("output_burndown = 1.5", "output_burndown is a number; it must be a whole number from 1 to 100"),
        ("max_tokens = 0", "max_tokens is 0; it must be a whole number from 1 to"),
        ("burst_percent = 0", "burst_percent is 0; it must be a whole number from 1 to 100"),
        ("burst_percent = 101", "burst_percent is 101; it must be a whole number from 1 to 100"),
        ("region = \"moon\"", "region is \"moon\", which is not an AWS region, such as us-west-2"),
        ("region = 1", "region is 1; it must be a string"),
        ("output_burn_down = 5", "output_burn_down is not a known key; did you mean output_burndown?"),
    ]
    .into_iter()
    .enumerate()
    {
        let limit = if line.starts_with("streams") { "tokens_per_minute = 1" } else { "streams = 1" };
        let found = below_routes(&format!("quota-{at}"), &format!("[[quota]]\nmodel = \"c.d\"\n{limit}\n{line}\n"));
        assert!(found.len() == 1 && found[0].starts_with(&format!("F:9: quota[0].{said}")), "{said} in {found:#?}");
    }
    for (at, (block, said)) in [
        ("[[quota]]\nstreams = 1\n", "F:6: quota[0] has no model. Add model = \"...\""),
        (
            "[[quota]]\nmodel = \"c.d\"\nmax_tokens = 5\n",
            "F:6: quota[0] limits nothing. Add at least one of tokens_per_minute, requests_per_minute, streams",
        ),
        ("[quota]\nmodel = \"c.d\"\n", "F:6: quota is a table; it must be written [[quota]]"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = below_routes(&format!("quota-block-{at}"), block);
        assert!(found.len() == 1 && found[0] == said, "{said} in {found:#?}");
    }
}

#[test]
fn a_model_that_no_call_can_have_is_refused_with_the_one_that_is_meant() {
    let quota = |model: &str| format!("[[quota]]\nmodel = \"{model}\"\nstreams = 1\n");
    let caller = |models: &str| format!("[[caller]]\nname = \"a\"\n{KEYS}\nmodels = [{models}]\n");
    for (at, (text, said)) in [
        (quota("us.a.b"), None),
        (quota("e.f"), None),
        (quota("any.model"), None),
        (quota("arn:aws:bedrock:us-east-1:1:application-inference-profile/x"), None),
        (quota("any.model") + &caller("\"any.*\""), None),
        (quota("any.model") + &caller("\"fast\"") + &caller("\"any.model\"").replace("\"a\"", "\"b\"").replace("abc", "bbc").replace("0123", "1123"), None),
        (
            quota("us.a.bb") + &caller("\"fast\", \"any.*\""),
            Some("is \"us.a.bb\", which no route, alias or default model names and no caller may use; did you mean us.a.b?"),
        ),
        (
            quota("fast"),
            Some("is \"fast\", which is the name of a route or an alias. Write the model of each of its targets: us.a.b, c.d"),
        ),
        (quota("short"), Some("is \"short\", which is the name of a route or an alias. Write the model of each of its targets: e.f")),
        (quota("usab"), Some("is \"usab\", which is not a model id. Write it as the targets of routes do, such as us.amazon.nova-lite-v1:0 or an ARN; did you mean us.a.b?")),
        (quota("a. b"), Some("is \"a. b\", which is not a model id")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("quota-model-{at}");
        match said {
            None => {
                let text = format!("[routes]\nfast = [\"us.a.b@us-west-2\", \"c.d\"]\n[alias.short]\nmodel = \"e.f\"\n{text}");
                resolve(&TestFile::new(&name, &text), &FLAGS, &[]).unwrap();
            }
            Some(said) => {
                let found = below_routes(&name, &text);
                assert!(found.len() == 1 && found[0].starts_with(&format!("F:7: quota[0].model {said}")), "{said} in {found:#?}");
            }
        }
    }
}

#[test]
fn quotas_for_the_same_model_and_region_are_refused_also_if_one_names_no_region() {
    let two = |first: &str, second: &str| {
        let quota = |region: &str| format!("[[quota]]\nmodel = \"a.b\"\n{region}\nstreams = 1\n");
        format!("{}{}", quota(first), quota(second))
    };
    let (east, west) = ("region = \"us-east-1\"", "region = \"us-west-2\"");
    let aws = ["--region", "us-west-2"];
    for (at, (first, second, flags, place)) in [
        ("", "", &["--attempts", "1"][..], Some("the region of the server")),
        (east, east, &["--local"], Some("us-east-1")),
        ("", east, &["--local"], Some("us-east-1")),
        (west, "", &aws, Some("us-west-2")),
        ("", west, &aws, Some("us-west-2")),
        ("", west, &["--local"], None),
        (east, west, &aws, None),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, text) = (format!("quota-twins-{at}"), two(first, second));
        match place {
            Some(place) => {
                let said = format!(
                    "F:6: quota[1].model is \"a.b\" in {place}, as of quota[0] in line 1. Leave one of them out"
                );
                assert_eq!(problems(&name, &text, flags, &[]), [said]);
            }
            None => drop(resolve(&TestFile::new(&name, &text), flags, &[]).unwrap()),
        }
    }
}

#[test]
fn a_wrong_price_is_refused_with_its_line() {
    for (at, (text, said)) in [
        ("input = -1\noutput = 1", "F:7: price.c.d.input is -1; it must be a number of at least 0"),
        (
            "input = 0.0000001\noutput = 1",
            "F:7: price.c.d.input is 0.0000001, which has more than 6 decimals. Round it",
        ),
        ("input = 1\noutput = \"1\"", "F:8: price.c.d.output is \"1\"; it must be a number"),
        ("input = 1\noutput = 1000000001", "F:8: price.c.d.output is 1000000001; it must be at most 1000000000"),
        (
            "input = 1\noutput = 1\ncache_reads = 1",
            "F:9: price.c.d.cache_reads is not a known key; did you mean cache_read?",
        ),
        ("input = 1", "F:6: price.c.d has no output. Add output = the price of a million tokens"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = below_routes(&format!("price-{at}"), &format!("[price.\"c.d\"]\n{text}\n"));
        assert!(found.len() == 1 && found[0].starts_with(said), "{said} in {found:#?}");
    }
    let found = below_routes("price-quotes", "[price.c.d-e.f]\ninput = 1\noutput = 1\n");
    assert_eq!(
        found,
        ["F:6: price.c is a table with the table d-e.f. Write a model id in quotes: [price.\"c.d-e.f\"]"]
    );
    let found = below_routes("price-route", "[price.fast]\ninput = 1\noutput = 1\n");
    assert!(
        found.len() == 1 && found[0].starts_with("F:6: price.fast is for \"fast\", which is the name of a route"),
        "{found:#?}"
    );
}

#[test]
fn the_flags_of_the_waiting_have_variables_and_are_checked() {
    let file = TestFile::new("quota-flags", "cache_affinity = \"0s\"\n");
    let variables = [("OUTCROP_QUOTA_QUEUE_TIME", "3s"), ("OUTCROP_SHARE_LIMITS", "auto")];
    let settings = resolve(&file, &["--local", "--quota-queue-length", "5"], &variables).unwrap();
    assert_eq!((settings.quotas.queue_time, settings.quotas.queue_length), (Duration::from_secs(3), 5));
    assert_eq!((settings.quotas.cache_affinity, settings.share_limits), (Duration::ZERO, true));
    let flags = ["--quota-queue-time=-1s", "--quota-queue-length=0", "--cache-affinity=soon", "--share-limits=on"];
    let ConfigError(found) = serve(&flags).unwrap_err();
    for said in [
        "--quota-queue-time is \"-1s\"; it must be a duration",
        "--quota-queue-length is 0; it must be a whole number of at least 1",
        "--cache-affinity is \"soon\"; it must be a duration",
        "--share-limits is \"on\"; it must be auto or off",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(said)), "{said} in {found:#?}");
    }
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn a_quota_below_what_one_call_reserves_is_warned_about() {
    let file = TestFile::new(
        "quota-small",
        "[[quota]]\nmodel = \"a.b\"\ntokens_per_minute = 10000\n[[quota]]\nmodel = \"c.d\"\ntokens_per_minute = 10000\nmax_tokens = 10000\n[[quota]]\nmodel = \"e.f\"\nstreams = 1\n",
    );
    let warnings = quota_warnings(&resolve(&file, &["--local"], &[]).unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let said = "the quota of a.b is 10000 tokens a minute, and a request without max_tokens reserves 64000: every such request is refused";
    assert!(warnings[0].starts_with(said), "{warnings:?}");
}

#[test]
fn the_example_of_the_document_is_a_configuration() {
    let document = include_str!("../../../docs/configuration.md");
    let section = document.split("## Quotas of Bedrock\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let examples: String = section.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let settings = resolve(&TestFile::new("quota-document", &examples), &["--region", "us-east-1"], &[]).unwrap();
    assert_eq!((settings.quotas.quotas.len(), settings.quotas.prices.len()), (2, 1));
    assert_eq!(settings.quotas.quotas[0].output_burndown, 5);
    assert!(settings.identity.callers[0].budget.cost_per_month.is_some() && quota_warnings(&settings).is_empty());
}
