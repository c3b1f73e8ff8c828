//! Checks requests of the native operation: the model's family, the features that its format lacks, and raw bodies.
//!
//! - `family` the family of a model
//! - `features` the features that each family's format has

mod family;
mod features;

pub use self::{
    family::Family,
    features::{FEATURES, FamilyFeatures, Feature},
};
use std::mem;

use super::violations::Violations;
use crate::proto::{GenerateRequest, OperationChoice};

/// The largest body, in bytes: the limit of the Bedrock Runtime API.
const MAX_BODY: usize = 25_000_000;

pub(super) fn check(request: &GenerateRequest, violations: &mut Violations) {
    if OperationChoice::try_from(request.operation).is_err() {
        let wanted = "Use OPERATION_CHOICE_CONVERSE or OPERATION_CHOICE_NATIVE, or leave it out";
        violations.add("operation", format!("is {}, which is not an operation. {wanted}", request.operation));
    }
    if request.operation() == OperationChoice::Converse && !request.model_family.is_empty() {
        violations.add(
            "model_family",
            "applies only to the native operation. Leave it out, or set operation to OPERATION_CHOICE_NATIVE",
        );
    }
    if request.native_body.is_empty() {
        if is_native(request) {
            match Family::of(request) {
                Ok(family) => features::check(family, request, violations),
                Err(problem) => violations.add("model_family", problem),
            }
        }
        return;
    }
    let body: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&request.native_body);
    if let Err(error) = body {
        violations
            .add("native_body", format!("is not a JSON object (line {}, column {})", error.line(), error.column()));
    }
    if request.native_body.len() > MAX_BODY {
        violations
            .add("native_body", format!("has {} bytes; Bedrock accepts at most {MAX_BODY}", request.native_body.len()));
    }
    if request.operation() == OperationChoice::Converse {
        violations.add("operation", "is OPERATION_CHOICE_CONVERSE, which has no native_body. Leave one of them out");
    }
    let beside = [
        ("prompt", !request.prompt.is_empty()),
        ("messages", !request.messages.is_empty()),
        ("system", !request.system.is_empty()),
        ("inference_config", request.inference_config.is_some()),
        ("tool_config", request.tool_config.is_some()),
        ("additional_model_request_fields", request.additional_model_request_fields.is_some()),
        ("additional_model_response_field_paths", !request.additional_model_response_field_paths.is_empty()),
        ("prompt_variables", !request.prompt_variables.is_empty()),
        ("output_config", request.output_config.is_some()),
        ("model_family", !request.model_family.is_empty()),
        ("conversation_id", !request.conversation_id.is_empty()),
    ];
    for (field, _) in beside.into_iter().filter(|(_, set)| *set) {
        violations.add(field, "cannot be combined with native_body, which is sent unchanged. Put it into the body");
    }
    if request.include_message {
        violations.add(
            "include_message",
            "cannot be combined with native_body, whose answer is not read. Leave one of them out",
        );
    }
}

/// Whether a request uses the native operation: the caller asked for it, or the model has no other.
pub(crate) fn is_native(request: &GenerateRequest) -> bool {
    match request.operation() {
        OperationChoice::Converse => false,
        OperationChoice::Native => true,
        // A caller who names the family means the native operation.
        OperationChoice::Unspecified if !request.model_family.is_empty() => true,
        OperationChoice::Unspecified => Family::of(request).is_ok_and(|family| !family.has_converse_stream()),
    }
}

/// Whether a request for its own model can also go to this one. A native request can go only to models of the same family.
pub(super) fn also_suits(request: &mut GenerateRequest, model: &str) -> bool {
    let own_family = Family::of(request);
    // Changes the request in place, because a copy may be large.
    let own = mem::replace(&mut request.model, model.to_owned());
    let suits = if request.native_body.is_empty() {
        let mut violations = Violations::default();
        check(request, &mut violations);
        violations.into_result().is_ok()
    } else {
        own_family.is_ok_and(|own| Family::of(request).is_ok_and(|family| family == own))
    };
    request.model = own;
    suits
}

#[cfg(test)]
mod tests;
