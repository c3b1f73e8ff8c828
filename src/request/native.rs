//! The checks of what goes to the native operation: whose format it is, and a body that goes untouched.
//!
//! Used by [`super::check`]. What a family lacks is refused by [`crate::bedrock`]'s room for that operation, which knows it.

use super::violations::Violations;
use crate::proto::{GenerateRequest, OperationChoice};

/// The largest body, in bytes: the limit of the Bedrock Runtime API.
const MAX_BODY: usize = 25_000_000;

pub(super) fn check(request: &GenerateRequest, violations: &mut Violations) {
    if OperationChoice::try_from(request.operation).is_err() {
        let wanted = "Use OPERATION_CHOICE_CONVERSE or OPERATION_CHOICE_NATIVE, or leave it out";
        violations.add("operation", format!("is {}, which is none. {wanted}", request.operation));
    }
    if request.operation() == OperationChoice::Converse && !request.model_family.is_empty() {
        violations.add("model_family", "goes with the native operation: Converse has one format for all. Leave it out");
    }
    if request.native_body.is_empty() {
        return;
    }
    let body: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&request.native_body);
    if let Err(error) = body {
        violations.add("native_body", format!("is no JSON object (line {}, column {})", error.line(), error.column()));
    }
    if request.native_body.len() > MAX_BODY {
        violations.add("native_body", format!("has {} bytes; Bedrock takes {MAX_BODY}", request.native_body.len()));
    }
    if request.operation() == OperationChoice::Converse {
        violations.add("operation", "is OPERATION_CHOICE_CONVERSE, which takes no native_body");
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
    ];
    for (field, _) in beside.into_iter().filter(|(_, set)| *set) {
        violations.add(field, "does not go with native_body, which is sent untouched. Put it into the body");
    }
}
