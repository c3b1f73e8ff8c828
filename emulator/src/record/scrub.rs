//! Replaces what identifies an AWS account, by as many other characters: account numbers and names in ARNs, and ids of access keys.
//!
//! The length stays, so that the lengths in frames stay right. Checksums of frames that change are made again.

use bytes::Bytes;

use crate::frame;

/// What ids of keys and of principals begin with. Sixteen to seventeen capital letters and digits follow.
const KEYS: [&[u8]; 4] = [b"AKIA", b"ASIA", b"AROA", b"AIDA"];

/// The least number of characters after [`KEYS`].
const KEY_LENGTH: usize = 16;

/// Services whose ARNs name people and roles.
const PRINCIPALS: [&[u8]; 2] = [b"iam", b"sts"];

/// A text without what identifies an account.
pub(crate) fn text(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    scrub(&mut bytes);
    // Only ASCII characters are replaced, by ASCII characters.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A body without what identifies an account: frames, or anything else.
pub(super) fn body(body: &Bytes) -> Bytes {
    let mut scrubbed = body.to_vec();
    scrub(&mut scrubbed);
    if scrubbed == *body {
        return body.clone();
    }
    let mut start = 0;
    for original in frame::split(body.clone()) {
        let frame = &mut scrubbed[start..start + original.len()];
        if *frame != original && frame::decode(original.clone()).is_some() {
            frame::seal(frame);
        }
        start += original.len();
    }
    scrubbed.into()
}

fn scrub(bytes: &mut [u8]) {
    for start in 0..bytes.len() {
        let rest = &mut bytes[start..];
        if rest.starts_with(b"arn:aws") {
            arn(rest);
        } else if let Some(prefix) = KEYS.iter().find(|prefix| rest.starts_with(prefix)) {
            let id = &mut rest[prefix.len()..];
            let length = id.iter().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
            if length >= KEY_LENGTH {
                id[..length].fill(b'0');
            }
        }
    }
}

/// Scrubs `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` at the start of these bytes.
fn arn(bytes: &mut [u8]) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b":/-_.+=@*".contains(byte);
    let length = bytes.iter().take_while(|byte| is_part(byte)).count();
    let bytes = &mut bytes[..length];
    let mut parts: Vec<&mut [u8]> = bytes.splitn_mut(6, |byte| *byte == b':').collect();
    let is_principal = parts.get(2).is_some_and(|service| PRINCIPALS.contains(&&**service));
    if let Some(account) = parts.get_mut(4).filter(|account| account.iter().all(u8::is_ascii_digit)) {
        account.fill(b'0');
    }
    if let Some(resource) = parts.get_mut(5).filter(|_| is_principal) {
        let names = resource.iter_mut().skip_while(|byte| **byte != b'/');
        names.filter(|byte| **byte != b'/').for_each(|byte| *byte = b'x');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::Step;

    #[test]
    fn what_identifies_an_account_is_replaced() {
        let cases = [
            (
                "User: arn:aws:sts::123456789012:assumed-role/Admin/jane.doe@x.org is not authorized",
                "User: arn:aws:sts::000000000000:assumed-role/xxxxx/xxxxxxxxxxxxxx is not authorized",
            ),
            (
                "\"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us.a.b\"",
                "\"arn:aws-us-gov:bedrock:us-gov-west-1:000000000000:inference-profile/us.a.b\"",
            ),
            ("arn:aws:bedrock:us-east-1::foundation-model/a.b", "arn:aws:bedrock:us-east-1::foundation-model/a.b"),
            ("AKIAIOSFODNN7EXAMPLE and AKIA", "AKIA0000000000000000 and AKIA"),
            ("arn:aws:", "arn:aws:"),
            ("größer: arn:aws:iam::123456789012:user/ä", "größer: arn:aws:iam::000000000000:user/ä"),
        ];
        for (given, expected) in cases {
            assert_eq!(text(given), expected);
        }
    }

    #[test]
    fn frames_stay_readable() {
        let metadata = |account: &str| {
            let arn = format!("arn:aws:bedrock:us-east-1:{account}:guardrail/g");
            frame::event("metadata", &json!({"trace": {"guardrail": {"arn": arn}}}), None)
        };
        let (given, expected) = (metadata("123456789012"), metadata("000000000000"));
        let other = frame::event("messageStart", &json!({"role": "assistant"}), Some(3));
        let joined = Bytes::from([&other[..], &given[..], b"rest"].concat());
        assert_eq!(body(&joined), [&other[..], &expected[..], b"rest"].concat());
        assert!(matches!(frame::decode(body(&given)), Some(Step::Event { .. })));
        // What was damaged stays so.
        let mut damaged = given.to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(frame::decode(body(&damaged.into())), None);
    }
}
