//! The wire form of an [`Error`]: a [`tonic::Status`] with google.rpc details that is small enough for every proxy.
//!
//! A status travels as HTTP/2 trailers, or as headers when nothing was sent before it. Proxies and clients bound those:
//! nginx refuses more than 4 KiB by default and answers with a retryable UNAVAILABLE in place of the status. So the message and
//! the details together stay below [`MAX_ENCODED`] bytes as they are sent, and say how much was left out.

use std::{collections::HashMap, time::Duration};

use http::{HeaderMap, HeaderValue};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Error, Inner, Violation};
use crate::proto::Attempt;

/// The `domain` of every ErrorInfo.
pub(super) const DOMAIN: &str = "outcrop";

/// The most bytes of `grpc-message`, percent-encoded, and `grpc-status-details-bin`, in base64, together.
pub(super) const MAX_ENCODED: usize = 3 * 1_024;

/// The longest text of one log line, in bytes.
const MAX_LOGGED: usize = 1_024;

/// The bytes that are kept of each text. The next is tried where the one before leads to a status that is too large.
const TEXT_LIMITS: [usize; 6] = [1_024, 512, 256, 128, 64, 32];

/// From this text limit on violations may be left out. Before that, only texts are cut.
const OMIT_VIOLATIONS_FROM: usize = 256;

/// The most violations that are sent, however short they are.
const MOST_VIOLATIONS: usize = 150;

/// The metadata that tells gRPC clients when to retry (gRFC A6). A negative value forbids it.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl Error {
    /// The wire form.
    pub fn into_status(self) -> Status {
        let inner = &*self.0;
        for limit in TEXT_LIMITS {
            let all = inner.violations.len();
            if all <= MOST_VIOLATIONS
                && let Some(status) = inner.fitting(limit, all)
            {
                return status;
            }
            if limit <= OMIT_VIOLATIONS_FROM && all > 0 {
                // The size grows with the number of violations, so the most that fit are found by bisection.
                let (mut fitting, mut too_many) = (None, all.min(MOST_VIOLATIONS + 1));
                let mut at_least = 1;
                while at_least < too_many {
                    let middle = at_least.midpoint(too_many);
                    match inner.fitting(limit, middle) {
                        Some(status) => (fitting, at_least) = (Some(status), middle + 1),
                        None => too_many = middle,
                    }
                }
                if let Some(status) = fitting {
                    return status;
                }
            }
        }
        // Only the number of facts is left to exceed the limit: the reason and the message always fit.
        let details = ErrorDetails::with_error_info(inner.reason.name(), DOMAIN, [inner.phase_entry()]);
        let message = shortened(&inner.message, TEXT_LIMITS[0] / 4);
        Status::with_error_details_and_metadata(inner.reason.code(), message, details, pushback(inner.retry_delay()))
    }
}

impl Inner {
    /// The status with texts of at most `limit` bytes and this many violations, unless it is too large.
    fn fitting(&self, limit: usize, violations: usize) -> Option<Status> {
        let status = Status::with_error_details_and_metadata(
            self.reason.code(),
            shortened(&self.message, limit),
            self.details(limit, violations),
            pushback(self.retry_delay()),
        );
        (encoded_size(&status) < MAX_ENCODED).then_some(status)
    }

    fn details(&self, limit: usize, violations: usize) -> ErrorDetails {
        let mut metadata = HashMap::from([self.phase_entry()]);
        let mut details = ErrorDetails::new();
        if !self.exception.is_empty() {
            metadata.insert("exception".to_owned(), shortened(&self.exception, limit));
        }
        metadata.extend(self.metadata.iter().map(|(name, value)| ((*name).to_owned(), shortened(value, limit))));
        if let Some(call) = &self.call {
            metadata.insert("model_id".to_owned(), shortened(&call.model_id, limit));
            metadata.insert("region".to_owned(), shortened(&call.region, limit));
            metadata.insert("attempts".to_owned(), call.attempts.len().to_string());
            if call.attempts.len() > 1 {
                metadata.insert("tried".to_owned(), shortened(&tried(&call.attempts), limit));
            }
            if !call.request_id.is_empty() {
                details.set_request_info(shortened(&call.request_id, limit), "");
            }
        }
        details.set_error_info(self.reason.name(), DOMAIN, metadata);
        if let Some(delay) = self.retry_delay().or(self.resets_in) {
            details.set_retry_info(Some(delay));
        }
        if let Some(quota) = &self.quota {
            details.add_quota_failure_violation(shortened(&quota.subject, limit), shortened(&quota.description, limit));
        }
        if !self.violations.is_empty() {
            details.set_bad_request(first(&self.violations, violations, limit));
        }
        details
    }

    fn phase_entry(&self) -> (String, String) {
        ("phase".to_owned(), self.phase.name().to_owned())
    }

    /// When the same call may succeed, if it may.
    fn retry_delay(&self) -> Option<Duration> {
        let delay = self.reason.retry_delay().filter(|_| !self.not_retryable)?;
        Some(self.retry_after.unwrap_or(delay))
    }
}

/// A status with these details about itself and nothing else, for a code that the table of reasons does not know.
pub(super) fn with_reason(code: Code, message: &str, details: &ErrorDetails) -> Status {
    let fitting = TEXT_LIMITS.iter().map(|limit| {
        let message = shortened(message, *limit);
        Status::with_error_details_and_metadata(code, message, details.clone(), pushback(None))
    });
    let smallest = || Status::with_error_details_and_metadata(code, "", details.clone(), pushback(None));
    fitting.into_iter().find(|status| encoded_size(status) < MAX_ENCODED).unwrap_or_else(smallest)
}

/// The bytes that the message and the details take in the trailers.
pub(super) fn encoded_size(status: &Status) -> usize {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        return usize::MAX;
    }
    let sizes = ["grpc-message", "grpc-status-details-bin"].map(|name| headers.get(name).map_or(0, HeaderValue::len));
    sizes.iter().sum()
}

/// The first violations, and how many more there are.
fn first(violations: &[Violation], number: usize, limit: usize) -> Vec<FieldViolation> {
    let mut first: Vec<_> = violations[..number]
        .iter()
        .map(|each| FieldViolation::new(shortened(&each.field, limit), shortened(&each.description, limit)))
        .collect();
    if number < violations.len() {
        first.push(FieldViolation::new("", format!("and {} more", violations.len() - number)));
    }
    first
}

/// Each attempt with why it failed, in order: `model@region REASON, …`.
fn tried(attempts: &[Attempt]) -> String {
    let each = attempts.iter().map(|Attempt { model_id, region, reason }| match reason.as_str() {
        "" => format!("{model_id}@{region}"),
        reason => format!("{model_id}@{region} {reason}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The retry delay as gRPC clients with a retry policy read it. Without a delay the call must not be retried.
fn pushback(delay: Option<Duration>) -> MetadataMap {
    let milliseconds = delay.map_or(-1, |delay| i32::try_from(delay.as_millis()).unwrap_or(i32::MAX));
    let mut metadata = MetadataMap::new();
    metadata.insert(PUSHBACK, MetadataValue::from(milliseconds));
    metadata
}

/// A text for a log line.
pub(super) fn for_log(text: &str) -> String {
    shortened(text, MAX_LOGGED)
}

/// The first `limit` bytes of a text, and how many bytes were left out.
fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(limit);
    format!("{}… ({} more bytes)", &text[..kept], text.len() - kept)
}

#[cfg(test)]
mod tests;
