//! Adds a reason to statuses that the gRPC library makes. They keep their code if the contract has no reason for them.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use super::{
    Error, Phase, Reason, Violation,
    status::{DOMAIN, with_reason},
};

/// The prefix of tonic's message for a request that prost cannot decode.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// The prefix of tonic's message for a request that it cannot decompress.
const NOT_DECOMPRESSED: &str = "Error decompressing: ";

/// tonic's message for a body without a message, of a method that takes one.
const NO_MESSAGE: &str = "Missing request message.";

/// The same failure with a reason. `message` is tonic's own, and `record` is called with the error.
pub(crate) fn from_bare(code: Code, message: &str, record: impl FnOnce(&Error)) -> Status {
    let error = match code {
        Code::OutOfRange if message.contains("message length too large") => too_large(message),
        Code::ResourceExhausted if message.starts_with(NOT_DECOMPRESSED) => too_large(message),
        Code::Internal if let Some(stack) = message.strip_prefix(UNDECODABLE) => malformed(stack),
        Code::Internal if let Some(what) = message.strip_prefix(NOT_DECOMPRESSED) => {
            let message = format!("the request cannot be decompressed: {what}. Send valid gzip, or no compression");
            Error::new(Reason::MalformedRequest, message)
        }
        Code::Internal if message == NO_MESSAGE => {
            Error::new(Reason::CardinalityViolation, "the call has no message. This method takes one message")
        }
        Code::Cancelled => Error::new(Reason::CallerCancelled, message),
        _ => {
            record(&Error::new(Reason::Transport, message));
            let metadata = HashMap::from([("phase".to_owned(), Phase::BeforeContent.name().to_owned())]);
            let details = ErrorDetails::with_error_info(Reason::Transport.name(), DOMAIN, metadata);
            return with_reason(code, message, &details);
        }
    };
    record(&error);
    error.into_status()
}

fn too_large(message: &str) -> Error {
    let advice = "Send less, or raise --max-request-bytes on the server";
    Error::new(Reason::MessageTooLarge, format!("{message}. {advice}"))
}

/// The error for bytes that are no request. prost names the fields from the inside out: `Inner.field: Outer.field: what is wrong`.
fn malformed(stack: &str) -> Error {
    let mut parts: Vec<_> = stack.split(": ").collect();
    let mut what = vec![parts.pop().unwrap_or_default()];
    // The description itself may contain a colon; names of fields contain no space.
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
    let violation = Violation { field: path.clone(), description: format!("cannot be decoded: {what}. {advice}") };
    let message = format!("the request cannot be decoded at {path:?}: {what}. {advice}");
    Error::new(Reason::MalformedRequest, message).with_violations(vec![violation])
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn reason(code: Code, message: &str) -> String {
        from_bare(code, message, |_| {}).get_error_details().error_info().unwrap().reason.clone()
    }

    #[test]
    fn a_status_of_the_grpc_library_gets_a_reason() {
        let too_large = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
        assert_eq!(reason(Code::OutOfRange, too_large), "MESSAGE_TOO_LARGE");
        let bomb = "Error decompressing: size limit, of 4 bytes, exceeded while decompressing message";
        assert_eq!(reason(Code::ResourceExhausted, bomb), "MESSAGE_TOO_LARGE");
        assert_eq!(reason(Code::Internal, "Error decompressing: invalid gzip header"), "MALFORMED_REQUEST");
        assert_eq!(reason(Code::Internal, "Missing request message."), "CARDINALITY_VIOLATION");
        assert_eq!(reason(Code::NotFound, "service not registered"), "TRANSPORT");
        assert_eq!(from_bare(Code::NotFound, "x", |_| {}).code(), Code::NotFound);
    }

    #[test]
    fn bytes_that_are_no_request_are_told_with_the_path_of_the_field() {
        let status = from_bare(
            Code::Internal,
            "failed to decode Protobuf message: Value.kind: Message.content: GenerateRequest.messages: invalid string value: data is not UTF-8 encoded",
            |_| {},
        );
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "messages.content");
        assert!(status.message().contains("invalid string value: data is not UTF-8"), "{}", status.message());
    }
}
