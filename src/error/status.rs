//! The only place where a [`tonic::Status`] is made: an [`Error`] in the form of the error contract.
//!
//! [`crate::service`] and [`crate::response::stream`] hand their errors over here, [`crate::edge::grpc`] those of gRPC
//! itself.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Error, Phase, Reason};
use crate::proto::Attempt;

/// How a status begins that tonic makes of a message that prost cannot decode.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// The `domain` of every ErrorInfo.
const DOMAIN: &str = "outcrop";

/// The longest message, in bytes. Trailers are small: many clients refuse more than 8 KiB of them, and a message is sent
/// twice, once as base64.
const MAX_MESSAGE: usize = 1_024;

/// The most bytes of violations, for the same reason.
const MAX_VIOLATIONS: usize = 2_048;

impl Error {
    /// The wire form.
    pub fn into_status(self) -> Status {
        let inner = *self.0;
        let reason = inner.reason;
        let mut metadata = HashMap::from([("phase".to_owned(), inner.phase.name().to_owned())]);
        let mut details = ErrorDetails::new();
        if !inner.exception.is_empty() {
            metadata.insert("exception".to_owned(), shortened(inner.exception));
        }
        metadata.extend(inner.facts.into_iter().map(|(name, value)| (name.to_owned(), shortened(value))));
        if let Some(call) = inner.call {
            metadata.insert("model_id".to_owned(), shortened(call.model_id));
            metadata.insert("region".to_owned(), call.region);
            metadata.insert("attempts".to_owned(), call.attempts.len().to_string());
            if call.attempts.len() > 1 {
                metadata.insert("tried".to_owned(), shortened(tried(&call.attempts)));
            }
            if !call.request_id.is_empty() {
                details.set_request_info(call.request_id, "");
            }
        }
        details.set_error_info(reason.name(), DOMAIN, metadata);
        if let Some(delay) = reason.retry_delay().filter(|_| !inner.not_retryable) {
            details.set_retry_info(Some(inner.retry_after.unwrap_or(delay)));
        }
        if let Some(quota) = inner.quota {
            details.add_quota_failure_violation(shortened(quota.subject), shortened(quota.description));
        }
        if !inner.violations.is_empty() {
            details.set_bad_request(bounded(inner.violations));
        }
        Status::with_error_details(reason.code(), shortened(inner.message), details)
    }
}

/// The wire form of a status that gRPC itself made: the same code and message where the contract has no row for it, and
/// always a reason.
pub(crate) fn from_bare(code: Code, message: &str) -> Status {
    let reason = match code {
        Code::OutOfRange if message.contains("message length too large") => Reason::MessageTooLarge,
        Code::Internal if let Some(stack) = message.strip_prefix(UNDECODABLE) => return malformed(stack).into_status(),
        Code::Cancelled => Reason::CallerCancelled,
        _ => {
            let metadata = HashMap::from([("phase".to_owned(), Phase::BeforeContent.name().to_owned())]);
            let details = ErrorDetails::with_error_info(Reason::Transport.name(), DOMAIN, metadata);
            return Status::with_error_details(code, shortened(message.to_owned()), details);
        }
    };
    let advice = match reason {
        Reason::MessageTooLarge => ". Send less, or raise --max-request-bytes on the server",
        _ => "",
    };
    Error::new(reason, format!("{message}{advice}")).into_status()
}

/// Bytes that are no request. prost says where, from the inside out: `Inner.field: Outer.field: what is wrong`.
fn malformed(stack: &str) -> Error {
    let mut parts: Vec<_> = stack.split(": ").collect();
    let mut what = vec![parts.pop().unwrap_or_default()];
    // What is wrong may itself be written with a colon.
    while let Some(part) = parts.pop_if(|part| part.contains(' ')) {
        what.insert(0, part);
    }
    let well_known = ["Struct.", "Value.", "ListValue."];
    let own = parts.iter().rev().filter(|part| !well_known.iter().any(|message| part.starts_with(message)));
    let path: Vec<_> = own.map(|part| part.rsplit('.').next().unwrap_or(part)).collect();
    let (path, what) = (path.join("."), what.join(": "));
    let advice = if what.contains("recursion") {
        "JSON may be nested about 30 deep"
    } else {
        "Was the request made from another proto? This server has reflection"
    };
    let violation =
        super::Violation { field: path.clone(), description: format!("cannot be decoded: {what}. {advice}") };
    let message = format!("the request cannot be decoded at {path:?}: {what}. {advice}");
    Error::new(Reason::MalformedRequest, message).with_violations(vec![violation])
}

/// Each attempt with why it failed, in order: `model@region REASON, …`.
fn tried(attempts: &[Attempt]) -> String {
    let each = attempts.iter().map(|Attempt { model_id, region, reason }| match reason.as_str() {
        "" => format!("{model_id}@{region}"),
        reason => format!("{model_id}@{region} {reason}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// As many violations as trailers hold, and how many more there are.
fn bounded(violations: Vec<super::Violation>) -> Vec<FieldViolation> {
    let total = violations.len();
    let mut bytes = 0;
    let mut fitting: Vec<_> = violations
        .into_iter()
        .take_while(|violation| {
            bytes += violation.field.len() + violation.description.len();
            bytes <= MAX_VIOLATIONS
        })
        .map(|violation| FieldViolation::new(violation.field, violation.description))
        .collect();
    if fitting.len() < total {
        fitting.push(FieldViolation::new("", format!("and {} more", total - fitting.len())));
    }
    fitting
}

pub(super) fn shortened(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Violation;

    #[test]
    fn trailers_stay_small_however_much_is_wrong() {
        let violation = |at| Violation {
            field: format!("messages[{at}].content"),
            description: "is empty; give it a block".into(),
        };
        let error =
            Error::new(Reason::InvalidRequest, "ä".repeat(5_000)).with_violations((0..5_000).map(violation).collect());
        let status = error.into_status();
        assert!(status.message().len() <= MAX_MESSAGE + '…'.len_utf8());
        assert!(status.details().len() < 6_000, "{}", status.details().len());
        let details = status.get_error_details();
        let last = details.bad_request().unwrap().field_violations.last().unwrap();
        assert!(last.description.starts_with("and 49"), "{}", last.description);
    }

    #[test]
    fn a_status_of_grpc_itself_gets_a_reason() {
        let reason = |code, message| from_bare(code, message).get_error_details().error_info().unwrap().reason.clone();
        let too_large = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
        assert_eq!(reason(Code::OutOfRange, too_large), "MESSAGE_TOO_LARGE");
        assert_eq!(reason(Code::NotFound, "service not registered"), "TRANSPORT");
        assert_eq!(from_bare(Code::NotFound, "x").code(), Code::NotFound);
        let status = from_bare(
            Code::Internal,
            "failed to decode Protobuf message: Value.kind: Message.content: GenerateRequest.messages: invalid string value: data is not UTF-8 encoded",
        );
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "messages.content");
        assert!(status.message().contains("invalid string value: data is not UTF-8"), "{}", status.message());
    }
}
