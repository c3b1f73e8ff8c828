//! Removes details of the operator's account from messages for callers: account ids, ARNs of roles and users, access keys.

use std::{borrow::Cow, sync::LazyLock};

use regex_lite::{Captures, Regex};

/// Replaces an account id.
const ACCOUNT: &str = "[account]";

/// Replaces other details.
const REDACTED: &str = "[redacted]";

/// The digits of an account id.
const ACCOUNT_DIGITS: usize = 12;

/// The service whose ARNs keep their resource: a model, an inference profile or a guardrail of the request.
const PUBLIC: &str = "bedrock";

/// The message for an invalid signature quotes the request with its headers and the session token after this text.
const QUOTED_REQUEST: &str = "The Canonical String for this request";

static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        // An ARN: partition, service, region, account, resource.
        r#"(?i:arn:(?<partition>aws[a-z0-9-]*):(?<service>[a-z0-9-]*):(?<region>[a-z0-9-]*):(?<owner>[^:\s"']*):(?<resource>[^\s"'<>;()\[\]]*))"#,
        // The id of a key, a role or a user, and the name of the session behind it.
        r"|(?<id>\bA(?:BIA|CCA|GPA|IDA|IPA|KIA|NPA|NVA|PKA|ROA|SCA|SIA)[A-Z0-9]{12,}(?::[\w+=,.@-]+)?)",
        // A Bedrock API key, or a token in a header.
        r"|(?<token>\bABSK[A-Za-z0-9+/=]{16,}|bedrock-api-key-[A-Za-z0-9+/=]+|(?i:x-amz-security-token:\s*\S+))",
        r"|(?<digits>[0-9]+)",
    ))
    .ok()
});

/// The text without details of the operator's account and its users. ARNs of Bedrock keep their resource.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    match PATTERN.as_ref() {
        Some(pattern) => pattern.replace_all(without_quoted_request(text), replacement),
        None => Cow::Borrowed(REDACTED),
    }
}

/// The text before the quoted request.
pub(super) fn without_quoted_request(text: &str) -> &str {
    text.split(QUOTED_REQUEST).next().unwrap_or_default().trim_end()
}

fn replacement(found: &Captures<'_>) -> String {
    let group = |name| found.name(name).map_or("", |group| group.as_str());
    if found.name("id").is_some() || found.name("token").is_some() {
        return REDACTED.to_owned();
    }
    if found.name("digits").is_some() {
        return account_free(group("digits")).to_owned();
    }
    let (service, owner, whole) = (group("service"), group("owner"), group("resource"));
    // The resource may be followed by the punctuation of the sentence.
    let resource = whole.trim_end_matches([',', '.', ':']);
    let rest = &whole[resource.len()..];
    let owner = if owner.is_empty() || owner.eq_ignore_ascii_case("aws") { owner } else { ACCOUNT };
    let resource = if service.eq_ignore_ascii_case(PUBLIC) { redacted(resource) } else { REDACTED.into() };
    format!("arn:{}:{service}:{}:{owner}:{resource}{rest}", group("partition"), group("region"))
}

/// A run of digits, unless it has the length of an account id.
fn account_free(digits: &str) -> &str {
    if digits.len() == ACCOUNT_DIGITS { ACCOUNT } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = "User: arn:aws:sts::123456789012:assumed-role/OutcropServer/i-0abc is not authorized to perform: \
        bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2 \
        with an explicit deny in a service control policy: arn:aws:organizations::999999999999:policy/o-x/service_control_policy/p-y";

    #[test]
    fn a_denial_says_what_was_denied_and_not_to_whom() {
        assert_eq!(
            redacted(DENIED),
            "User: arn:aws:sts::[account]:[redacted] is not authorized to perform: \
             bedrock:InvokeModelWithResponseStream on resource: \
             arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2 \
             with an explicit deny in a service control policy: arn:aws:organizations::[account]:[redacted]"
        );
    }

    #[test]
    fn each_kind_of_identity_is_replaced() {
        for (text, expected) in [
            ("account 123456789012.", "account [account]."),
            ("arn:aws-cn:iam::123456789012:role/a/b, and", "arn:aws-cn:iam::[account]:[redacted], and"),
            ("(arn:aws:iam::123456789012:user/Ada)", "(arn:aws:iam::[account]:[redacted])"),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x",
                "arn:aws:bedrock:eu-west-1:[account]:inference-profile/eu.x",
            ),
            ("key AKIAIOSFODNN7EXAMPLE is", "key [redacted] is"),
            ("AROAIOSFODNN7EXAMPLE:ada@example.com is", "[redacted] is"),
            ("bearer ABSKQmVkcm9ja0FQSUtleQ== is", "bearer [redacted] is"),
            ("ARN:AWS:IAM::123456789012:ROLE/X", "arn:AWS:IAM::[account]:[redacted]"),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }

    #[test]
    fn other_words_and_numbers_stay() {
        for text in [
            "",
            "maxTokens 4096 is above the limit of 200000",
            "at 1700000000000 ms, 12345678901 and 1234567890123",
            "Malformed input request: #/messages/0: required key [content] not found — über ∀",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_quoted_request_is_cut_off() {
        let text = "The request signature does not match.\n\nThe Canonical String for this request should have been\n\
                    'POST\n/model\nhost:a\nx-amz-security-token:SECRET\n'";
        assert_eq!(redacted(text), "The request signature does not match.");
        assert_eq!(redacted("x-amz-security-token:SECRET\nhost:a"), "[redacted]\nhost:a");
    }

    /// Pieces in any order, with anything between them: no identity is left, and nothing else is lost.
    #[test]
    fn no_identity_survives_in_any_surroundings() {
        const BETWEEN: [&str; 12] = [" ", "", ".", ",", ": ", "\n", "é", "(", ")", "\"", "/", "-"];
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..5_000 {
            let account: String = (0..12).map(|_| random.digit(10)).collect();
            let name: String = (0..8).map(|_| random.alphabetic()).collect();
            let key: String = (0..16).map(|_| random.digit(36).to_ascii_uppercase()).collect();
            let mut text = String::new();
            for _ in 0..random.usize(1..6) {
                let piece = match random.u8(..6) {
                    0 => format!(" {account} "),
                    1 => format!(" arn:aws:sts::{account}:assumed-role/R{name}/S{name}"),
                    2 => format!(" arn:aws:iam::{account}:user/U{name}"),
                    3 => format!(" AKIA{key} "),
                    4 => format!(" arn:aws:bedrock:us-east-1:{account}:provisioned-model/{account}"),
                    _ => " words 4096 ".to_owned(),
                };
                text.push_str(&piece);
                // A digit beside an account id would make another number of it.
                text.push_str(BETWEEN[random.usize(..BETWEEN.len())]);
            }
            let clean = redacted(&text);
            for secret in [&account, &format!("R{name}"), &format!("S{name}"), &format!("U{name}"), &key] {
                assert!(!clean.contains(secret.as_str()), "round {round}: {secret} is left of {text:?}: {clean:?}");
            }
            assert_eq!(clean.matches("words 4096").count(), text.matches("words 4096").count(), "{text:?}: {clean:?}");
        }
    }
}
