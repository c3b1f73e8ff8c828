//! The forms of single values. Each function returns why a value is refused, as the rest of a sentence that begins with its key.

use std::time::{Duration, SystemTime};

use http::Uri;
use toml::value::{Datetime, Offset};

use crate::failover::routes::is_region;

/// The name of a caller or of a tenant: it is a label of metrics and a word in logs.
pub(crate) fn name(text: &str) -> Result<(), String> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(valid) {
        return Ok(());
    }
    Err(format!("is {text:?}; it must be 1 to 64 characters, each a lower-case letter, a digit or one of . _ -"))
}

/// An AWS region.
pub(super) fn region(text: &str) -> Result<(), String> {
    if is_region(text) {
        return Ok(());
    }
    Err(format!("is {text:?}, which is not an AWS region, such as us-west-2"))
}

/// The code of a quota in AWS Service Quotas.
pub(super) fn quota_code(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix("L-").unwrap_or_default();
    if digits.len() == 8 && digits.chars().all(|digit| matches!(digit, '0'..='9' | 'A'..='F')) {
        return Ok(());
    }
    Err(format!("is {text:?}, which is not the code of a quota in AWS Service Quotas, such as L-1234ABCD"))
}

/// The SHA-256 of an API key. The message never has the value, which may be the key.
pub(super) fn sha256(text: &str) -> Result<[u8; 32], String> {
    if text.starts_with("oc_") {
        return Err("is an API key. Write its hash, which `outcrop keys new` prints, and make a new key: this one was in a file".to_owned());
    }
    let mut hash = [0; 32];
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    match digits.filter(|digits| digits.len() == 64) {
        Some(digits) => {
            for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
                *byte = pair.iter().fold(0, |byte, digit| byte << 4 | u8::try_from(*digit).unwrap_or_default());
            }
            Ok(hash)
        }
        None => Err(format!(
            "has {} characters; it must be the 64 hexadecimal digits of a SHA-256, as `outcrop keys new` prints them",
            text.chars().count()
        )),
    }
}

/// A point in time.
pub(super) fn time(time: &Datetime) -> Result<SystemTime, String> {
    let wanted = "it must have a date, a time and an offset, such as 2027-01-31T12:00:00Z";
    let refused = || format!("is {time}; {wanted}");
    let (Some(date), Some(clock), Some(offset)) = (time.date, time.time, time.offset) else { return Err(refused()) };
    let text = format!(
        "{date}T{:02}:{:02}:{:02}Z",
        clock.hour,
        clock.minute,
        // A leap second is the last one of its minute here.
        clock.second.unwrap_or_default().min(59)
    );
    let local = humantime::parse_rfc3339(&text).map_err(|_| refused())?;
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let difference = Duration::from_secs(u64::from(minutes.unsigned_abs()) * 60);
    let time = if minutes < 0 { local.checked_add(difference) } else { local.checked_sub(difference) };
    time.ok_or_else(refused)
}

/// The URI SAN of a certificate.
pub(super) fn certificate_uri(text: &str) -> Result<(), String> {
    let refused = |why: &str| {
        Err(format!("is {text:?}, {why}. Write the URI SAN of a certificate, such as spiffe://example.org/billing"))
    };
    let Some((scheme, rest)) = text.split_once(':') else { return refused("which is not a URI") };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme || rest.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return refused("which is not a URI");
    }
    if text.contains('*') {
        return refused("which has a `*`: certificates match by the whole URI");
    }
    Ok(())
}

/// An `https://` URL without user, query and fragment.
pub(super) fn https(text: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("is {text:?}; {why}"));
    let Ok(uri) = text.parse::<Uri>() else { return refused("it must be a URL, such as https://id.example.com") };
    if uri.scheme_str() != Some("https") {
        return refused("it must begin with https://, because keys that anyone on the path can replace prove nothing");
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) || text.contains('#') {
        return refused("it must have neither a user nor a fragment");
    }
    Ok(())
}

/// The beginning of S3 URIs.
pub(super) fn s3_prefix(text: &str) -> Result<(), String> {
    let bucket = text.strip_prefix("s3://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if bucket.is_empty() || text.contains('*') {
        return Err(format!("is {text:?}; it must be s3://BUCKET/ or s3://BUCKET/FOLDER/, without `*`"));
    }
    if !text.ends_with('/') {
        // `s3://data` would also allow the bucket `data-of-others`.
        return Err(format!("is {text:?}; it must end with /, because it is the beginning of all URIs that it allows"));
    }
    Ok(())
}

/// A key or a value of request metadata, with the limits of the Bedrock Runtime API.
pub(super) fn metadata(text: &str, least: usize) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":_@$#=/+,-.".contains(c);
    if !(least..=256).contains(&text.chars().count()) || !text.chars().all(allowed) {
        let set = "letters, digits, white space and : _ @ $ # = / + , - .";
        return Err(format!("is {text:?}; it must be {least} to 256 characters, each one of {set}"));
    }
    Ok(())
}

/// The version of a guardrail.
pub(super) fn guardrail_version(text: &str) -> Result<(), String> {
    let number = !text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit());
    if text == "DRAFT" || number { Ok(()) } else { Err(format!("is {text:?}; it must be a number or DRAFT")) }
}
