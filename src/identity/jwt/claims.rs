//! The claims that every token must have.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Rejection, token::string};
use crate::identity::Claims;

/// By how much the clocks of the issuer and of this server may differ.
pub(super) const SKEW: Duration = Duration::from_mins(1);

/// What is needed of the claims of a token. Its signature has been verified, and its issuer is the one whose key did so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) subject: String,
    /// `exp`. The token is accepted until [`SKEW`] later.
    pub(super) expires_at: SystemTime,
}

/// Checks that the token is for one of these audiences, that `now` is within its time, and that it has a subject.
pub(super) fn check(claims: &Claims, audiences: &[String], now: SystemTime) -> Result<Checked, Rejection> {
    let expires_at = time(claims, "exp")?.ok_or(Rejection::MissingClaim("exp"))?;
    if has_expired(expires_at, now) {
        return Err(Rejection::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|begins| begins.duration_since(now).is_ok_and(|ahead| ahead > SKEW)) {
        return Err(Rejection::NotYetValid);
    }
    let is_ours = |audience: &str| audiences.iter().any(|ours| ours == audience);
    let for_us = match claims.get("aud") {
        None => return Err(Rejection::MissingClaim("aud")),
        Some(Value::String(audience)) => is_ours(audience),
        Some(Value::Array(several)) if several.iter().all(Value::is_string) => {
            several.iter().filter_map(Value::as_str).any(is_ours)
        }
        Some(_) => return Err(Rejection::Malformed),
    };
    if !for_us {
        return Err(Rejection::Audience);
    }
    let subject = string(claims, "sub")?.filter(|subject| !subject.is_empty()).ok_or(Rejection::MissingClaim("sub"))?;
    Ok(Checked { subject: subject.to_owned(), expires_at })
}

/// Whether a token with this `exp` is refused.
pub(super) fn has_expired(expires_at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(expires_at).is_ok_and(|since| since >= SKEW)
}

/// A `NumericDate` in seconds, which may have a fraction.
fn time(claims: &Claims, name: &str) -> Result<Option<SystemTime>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let since = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        // A time before 1970 has passed as much as 1970 has.
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds.max(0.0)).ok(),
        (None, None) => None,
    };
    since.and_then(|since| UNIX_EPOCH.checked_add(since)).map(Some).ok_or(Rejection::Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn checked(changes: &Value) -> Result<Checked, Rejection> {
        let mut claims = json!({"exp": NOW + 300, "aud": "outcrop", "sub": "ada"});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let audiences = ["outcrop".to_owned(), "other".to_owned()];
        check(claims.as_object().unwrap(), &audiences, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn the_time_of_a_token_ends_a_minute_after_exp_and_begins_a_minute_before_nbf() {
        for (claim, rejection) in [
            (json!({"exp": NOW - 59}), None),
            (json!({"exp": NOW - 60}), Some(Rejection::Expired)),
            (json!({"exp": f64::from(2_000_000_000_u32) - 59.5}), None),
            (json!({"exp": 0}), Some(Rejection::Expired)),
            (json!({"exp": -1}), Some(Rejection::Expired)),
            (json!({"exp": -1e300}), Some(Rejection::Expired)),
            (json!({"exp": u64::MAX}), Some(Rejection::Malformed)),
            (json!({"exp": 1e300}), Some(Rejection::Malformed)),
            (json!({"exp": "2000000300"}), Some(Rejection::Malformed)),
            (json!({"exp": null}), Some(Rejection::MissingClaim("exp"))),
            (json!({"nbf": NOW + 60}), None),
            (json!({"nbf": NOW + 61}), Some(Rejection::NotYetValid)),
            (json!({"nbf": u64::MAX}), Some(Rejection::Malformed)),
            (json!({"nbf": true}), Some(Rejection::Malformed)),
        ] {
            assert_eq!(checked(&claim).err(), rejection, "{claim}");
        }
    }

    #[test]
    fn a_token_is_for_one_of_the_audiences_exactly() {
        for (claim, rejection) in [
            (json!({"aud": "other"}), None),
            (json!({"aud": ["third", "outcrop"]}), None),
            (json!({"aud": "outcrop2"}), Some(Rejection::Audience)),
            (json!({"aud": "Outcrop"}), Some(Rejection::Audience)),
            (json!({"aud": []}), Some(Rejection::Audience)),
            (json!({"aud": ""}), Some(Rejection::Audience)),
            (json!({"aud": ["outcrop", 7]}), Some(Rejection::Malformed)),
            (json!({"aud": {"outcrop": true}}), Some(Rejection::Malformed)),
            (json!({"aud": null}), Some(Rejection::MissingClaim("aud"))),
        ] {
            assert_eq!(checked(&claim).err(), rejection, "{claim}");
        }
    }

    #[test]
    fn a_token_has_a_subject() {
        assert_eq!(checked(&json!({})).unwrap().subject, "ada");
        assert_eq!(checked(&json!({"sub": null})).err(), Some(Rejection::MissingClaim("sub")));
        assert_eq!(checked(&json!({"sub": ""})).err(), Some(Rejection::MissingClaim("sub")));
        assert_eq!(checked(&json!({"sub": 7})).err(), Some(Rejection::Malformed));
    }
}
