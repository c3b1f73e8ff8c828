//! A quota is never exceeded at an admission, and what was reserved is settled once, whatever ends the answer.

mod levels;
mod load;
mod requests;

use std::sync::Arc;

use fastrand::Rng;
use serde_json::json;
use tokio::time::{Duration, sleep};

use super::{meter::Admitted, *};
use crate::{
    script::{Script, Step},
    usage::TokenUsage,
};

fn need(input: u64, most: u64, reported: Option<TokenUsage>) -> Need {
    let steps: Vec<_> = reported.map(Step::usage).into_iter().collect();
    let prompt = "word ".repeat(usize::try_from(input).unwrap());
    Need::new(&json!({"prompt": prompt, "max_tokens": most}), &Script::of(steps), None)
}

fn usage(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, output, ..TokenUsage::default() }
}

fn meter(quota: Quota) -> Arc<Meter> {
    Arc::new(Meter::new(quota))
}

fn message(refused: Result<Admitted, Box<Script>>) -> String {
    refused.unwrap_err().refuse.unwrap().message
}

#[tokio::test(start_paused = true)]
async fn the_start_reserves_the_maximum_and_the_end_charges_the_burndown() {
    let meter = meter(Quota { burndown: 5, max_tokens: 400, ..Quota::of_tokens(1_000) });
    let reported = TokenUsage { input: 20, output: 10, cache_read: 100, cache_write: 30 };
    let first = meter.admit(need(3, 200, Some(reported))).unwrap();
    assert_eq!(meter.usage().tokens_reserved, 20 + 100 + 30 + 200);
    first.settle();
    let after = meter.usage();
    assert_eq!((after.tokens_charged, after.level, after.tokens_reserved), (20 + 30 + 10 * 5, 100, 0));
    // Without a maximum of its own, a request reserves that of the model; without a report, its input is counted.
    let unset = Need::new(&json!({"prompt": "one two"}), &Script::default(), None);
    let second = meter.admit(unset).unwrap();
    assert_eq!(meter.usage().tokens_reserved, 402);
    drop(second);
    let after = meter.usage();
    assert_eq!((after.kept, after.tokens_kept, after.level), (1, 402, 502));
    meter.admit(need(1, 9, None)).unwrap().release();
    assert_eq!((meter.usage().released, meter.usage().level), (1, 502));
}

#[tokio::test(start_paused = true)]
async fn each_limit_refuses_with_the_text_of_bedrock() {
    let of_tokens = meter(Quota::of_tokens(100));
    assert_eq!(message(of_tokens.admit(need(1, 100, None))), "Too many tokens, please wait before trying again.");
    let limits = Quota { requests: Some(2), streams: Some(1), ..Quota::default() };
    let meter = meter(limits);
    let running = meter.admit(need(1, 1, None)).unwrap();
    assert_eq!(message(meter.admit(need(1, 1, None))), "Too many requests, please wait before trying again.");
    running.settle();
    let running = meter.admit(need(1, 1, None)).unwrap();
    drop(running);
    assert_eq!(message(meter.admit(need(1, 1, None))), "Too many requests, please wait before trying again.");
    let counts = meter.usage();
    let by = (counts.throttled_by_streams, counts.throttled_by_requests, counts.throttled_by_tokens);
    assert_eq!((counts.throttled, by), (2, (1, 1, 0)));
    sleep(Duration::from_secs(30)).await;
    meter.admit(need(1, 1, None)).unwrap().settle();
}

#[tokio::test(start_paused = true)]
async fn retry_after_tells_when_there_is_room() {
    let meter = meter(Quota { retry_after: true, ..Quota::of_tokens(600) });
    let running = meter.admit(need(0, 600, None)).unwrap();
    let refused = meter.admit(need(0, 25, None)).unwrap_err();
    // Ten tokens a second.
    assert_eq!(refused.headers["retry-after"], "3");
    sleep(Duration::from_millis(2_500)).await;
    drop(meter.admit(need(0, 25, None)).unwrap());
    assert!(meter.admit(need(0, 1, None)).is_err());
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_can_go_over_the_quota_and_an_admission_can_not() {
    for model in [MinuteModel::Bucket, MinuteModel::Window] {
        let meter = meter(Quota { burndown: 5, model, ..Quota::of_tokens(100) });
        meter.admit(need(0, 100, Some(usage(0, 100)))).unwrap().settle();
        let counts = meter.usage();
        assert_eq!((counts.highest_admitted_level, counts.highest_settled_level, counts.level), (100, 500, 500));
        sleep(Duration::from_secs(59)).await;
        assert!(meter.admit(need(0, 1, None)).is_err(), "{model:?}");
    }
}

/// Requests that begin and end at random, in every way. The counts of the test are its own.
async fn attack(seed: u64, quota: Quota) {
    let mut random = Rng::with_seed(seed);
    let meter = meter(quota);
    let (mut running, mut charged, mut admitted, mut refused) = (Vec::<(Admitted, u64, u64)>::new(), 0, 0, 0);
    for step in 0..400 {
        let (input, most) = (random.u64(0..50), random.u64(0..300));
        let reported = random.bool().then(|| usage(input, random.u64(0..=most)));
        let reserved = input + most;
        match meter.admit(need(input, most, reported)) {
            Ok(one) => {
                admitted += 1;
                let charge = reported.map_or(reserved, |usage| usage.input + usage.output * quota.burndown);
                running.push((one, reserved, charge));
            }
            Err(_) => refused += 1,
        }
        while !running.is_empty() && random.u8(0..3) == 0 {
            let (one, reserved, charge) = running.swap_remove(random.usize(0..running.len()));
            charged += match random.u8(0..3) {
                0 => {
                    one.settle();
                    charge
                }
                1 => {
                    drop(one);
                    reserved
                }
                _ => {
                    one.release();
                    0
                }
            };
        }
        let counts = meter.usage();
        let held: u64 = running.iter().map(|(_, reserved, _)| reserved).sum();
        assert_eq!((counts.tokens_reserved, counts.tokens_charged), (held, charged), "seed {seed}, step {step}");
        assert_eq!((counts.requests, counts.throttled), (admitted, refused), "seed {seed}, step {step}");
        let ended = counts.settled + counts.kept + counts.released;
        assert_eq!(counts.requests, counts.running + ended, "seed {seed}, step {step}");
        assert_eq!(counts.running, running.len() as u64, "seed {seed}, step {step}");
        assert!(counts.highest_admitted_level <= quota.tokens.unwrap(), "seed {seed}, step {step}: {counts:?}");
        assert!(counts.highest_running <= quota.streams.unwrap(), "seed {seed}, step {step}: {counts:?}");
        sleep(Duration::from_millis(random.u64(0..2_000))).await;
    }
    assert!(admitted > 20 && refused > 20, "seed {seed}: {admitted} admitted, {refused} refused");
    running.clear();
    let counts = meter.usage();
    assert_eq!((counts.running, counts.tokens_reserved), (0, 0));
    sleep(Duration::from_millis(quota.minute_ms * 100)).await;
    assert_eq!(meter.usage().level, 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn no_order_of_ends_breaks_the_counts() {
    for seed in 0..60 {
        let model = if seed % 2 == 0 { MinuteModel::Bucket } else { MinuteModel::Window };
        let quota =
            Quota { requests: Some(90), streams: Some(12), burndown: 1 + seed % 5, model, ..Quota::of_tokens(5_000) };
        attack(seed, quota).await;
    }
}

#[tokio::test]
async fn threads_at_once_never_exceed_the_quota() {
    let meter = meter(Quota { streams: Some(8), ..Quota::of_tokens(10_000) });
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let meter = &meter;
            scope.spawn(move || {
                let mut random = Rng::with_seed(thread);
                for _ in 0..2_000 {
                    let Ok(one) = meter.admit(need(1, random.u64(0..50), Some(usage(1, 1)))) else { continue };
                    if random.bool() { one.settle() } else { one.release() }
                }
            });
        }
    });
    let counts = meter.usage();
    assert!(counts.highest_admitted_level <= 10_000 && counts.highest_running <= 8, "{counts:?}");
    assert_eq!((counts.running, counts.tokens_reserved), (0, 0));
    assert_eq!(counts.requests, counts.settled + counts.released);
    assert_eq!(counts.requests + counts.throttled, 16_000);
    assert_eq!(counts.tokens_charged, counts.settled * 2);
}

#[tokio::test(start_paused = true)]
async fn two_quotas_of_one_model_are_refused_and_a_reset_sets_them_again() {
    let one: ModelQuota = "a.model@us-west-2=5".parse().unwrap();
    let any: ModelQuota = "a.model=7".parse().unwrap();
    let error = Quotas::load(vec![one.clone(), any.clone(), one.clone()]).unwrap_err().to_string();
    assert_eq!(error, "there are two quotas for a.model@us-west-2");
    let quotas = Quotas::load(vec![one, any]).unwrap();
    let tokens = |region: &str| quotas.find("a.model", region).unwrap().quota().tokens;
    assert_eq!((tokens("us-west-2"), tokens("us-east-1"), tokens("")), (Some(5), Some(7), Some(7)));
    assert!(quotas.find("b.model", "us-west-2").is_none());
    assert!(quotas.usage("a.model", Some("us-east-1")).is_none());
    quotas.set("b.model", None, Quota::of_tokens(1)).unwrap();
    quotas.set("a.model", None, Quota::of_tokens(9)).unwrap();
    assert!(quotas.remove("a.model", Some("us-west-2")));
    quotas.reset();
    assert_eq!((tokens("us-west-2"), tokens("us-east-1")), (Some(5), Some(7)));
    assert!(quotas.find("b.model", "us-west-2").is_none());
}
