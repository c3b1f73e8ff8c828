//! However much is wrong, a status is small, keeps its code and reason, and says what it left out.

use super::*;
use crate::error::{CallContext, Phase, Quota, Reason, TABLE};

fn reason_of(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

fn pushback_of(status: &Status) -> &str {
    status.metadata().get(PUSHBACK).unwrap().to_str().unwrap()
}

fn violations(number: usize) -> Vec<Violation> {
    let violation = |at| Violation {
        field: format!("messages[{at}].content[0].tool_result.content[2].document.name"),
        description: "is \"a\u{7}b\"; only letters, digits and single spaces are allowed".into(),
    };
    (0..number).map(violation).collect()
}

#[test]
fn trailers_stay_small_however_much_is_wrong() {
    let error = Error::new(Reason::InvalidRequest, "ä".repeat(5_000)).with_violations(violations(5_000));
    let status = error.into_status();
    assert!(encoded_size(&status) < MAX_ENCODED, "{}", encoded_size(&status));
    assert!(status.message().ends_with("more bytes)"), "{}", status.message());
    let details = status.get_error_details();
    let shown = &details.bad_request().unwrap().field_violations;
    assert!(shown.len() > 5, "{}", shown.len());
    assert_eq!(shown.last().unwrap().description, format!("and {} more", 5_000 - (shown.len() - 1)));
}

#[test]
fn a_long_message_alone_says_how_much_was_cut() {
    let status = Error::new(Reason::BedrockValidation, "x".repeat(10_000)).into_status();
    assert_eq!(status.message(), format!("{}… (8976 more bytes)", "x".repeat(1_024)));
}

/// A text of up to `most` characters that take one to four bytes each and up to twelve when encoded.
fn text(random: &mut fastrand::Rng, most: usize) -> String {
    let alphabet = ['a', ' ', '%', '"', '\n', '\u{0}', 'ä', '€', '🦀'];
    let only = random.choice(alphabet);
    let length = random.usize(0..=most);
    (0..length).filter_map(|_| only.filter(|_| most.is_multiple_of(2)).or_else(|| random.choice(alphabet))).collect()
}

fn arbitrary(random: &mut fastrand::Rng) -> Error {
    let most = [3, 40, 301, 5_000, 9_999][random.usize(..5)];
    let mut error = Error::new(TABLE[random.usize(..TABLE.len())].reason, text(random, most));
    if random.bool() {
        let violation = |random: &mut fastrand::Rng| Violation {
            field: text(random, most / 4),
            description: text(random, most / 2),
        };
        let number = [1, 20, 400][random.usize(..3)];
        error = error.with_violations((0..number).map(|_| violation(random)).collect());
    }
    if random.bool() {
        let attempts = (0..random.usize(..12)).map(|_| Attempt {
            model_id: text(random, most),
            region: text(random, 30),
            reason: text(random, 30),
        });
        let attempts = attempts.collect();
        let (model_id, region, request_id) = (text(random, most), text(random, most), text(random, most));
        error = error.in_call(CallContext { model_id, region, request_id, attempts });
    }
    for name in ["original_message", "original_status_code", "resource_name", "retry_budget", "drain"] {
        if random.bool() {
            error = error.with_metadata(name, text(random, most));
        }
    }
    if random.bool() {
        let quota = Quota { subject: text(random, most), description: text(random, most) };
        error = error.with_quota(quota).with_exception(text(random, most));
    }
    if random.bool() { error.in_phase(Phase::AfterContent) } else { error }
}

#[test]
fn every_status_encodes_to_less_than_3_kib_and_keeps_its_code_and_reason() {
    for seed in 0..300 {
        let error = arbitrary(&mut fastrand::Rng::with_seed(seed));
        let (reason, total) = (error.reason(), error.violations().len());
        let status = error.into_status();
        assert!(encoded_size(&status) < 3 * 1_024, "seed {seed}: {} bytes", encoded_size(&status));
        assert_eq!((status.code(), reason_of(&status).as_str()), (reason.code(), reason.name()), "seed {seed}");
        let details = status.get_error_details();
        let shown = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let omitted = shown.last().and_then(|last| last.description.strip_prefix("and ")?.strip_suffix(" more"));
        match omitted.and_then(|number| number.parse::<usize>().ok()) {
            Some(omitted) => assert_eq!(shown.len() - 1 + omitted, total, "seed {seed}"),
            None => assert_eq!(shown.len(), total, "seed {seed}"),
        }
    }
}

#[test]
fn a_status_with_more_facts_than_fit_still_has_its_reason() {
    let error = (0..400).fold(Error::new(Reason::Internal, "m"), |error, at| {
        error.with_metadata(Box::leak(format!("fact_{at}").into_boxed_str()), "x".repeat(40))
    });
    let status = error.into_status();
    assert!(encoded_size(&status) < MAX_ENCODED);
    assert_eq!(reason_of(&status), "INTERNAL");
}

#[test]
fn pushback_says_what_retry_info_says() {
    let delayed = Error::new(Reason::BedrockThrottled, "m").with_retry_after(Some(Duration::from_millis(2_500)));
    assert_eq!(pushback_of(&delayed.into_status()), "2500");
    assert_eq!(pushback_of(&Error::new(Reason::UpstreamTruncated, "m").into_status()), "500");
    assert_eq!(pushback_of(&Error::new(Reason::InvalidRequest, "m").into_status()), "-1");
    assert_eq!(pushback_of(&Error::new(Reason::LocalLimit, "m").without_retry().into_status()), "-1");
}
