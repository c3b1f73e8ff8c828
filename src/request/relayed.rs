//! A request whose body goes to Bedrock as the caller wrote it, over the Bedrock API of this server ([`crate::front`]).
//!
//! Its body is the `native_body` of a request, so that the estimate of its tokens, the memory and the permissions see it as any other.
//!
//! - `unique` refuses bodies that parsers read differently

mod unique;

use serde_json::{Map, Value};

use super::{
    Checked, ResolvedModel, Serving, Valid, native, resolve_model, rules::Rules, serving, settings,
    violations::Violations,
};
use crate::{
    error::{Error, Reason},
    identity::{Identity, Permissions},
    proto::GenerateRequest,
};

/// The operations of the Bedrock Runtime API that generate an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ConverseStream,
    Converse,
    InvokeModelWithResponseStream,
    InvokeModel,
}

/// What a call is besides its request, if its body is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// The operation.
    pub(crate) operation: Operation,
    /// The content type of an answer that the caller accepts. Empty: any.
    pub(crate) accept: String,
}

impl Operation {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConverseStream => "ConverseStream",
            Self::Converse => "Converse",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::InvokeModel => "InvokeModel",
        }
    }

    /// Whether its body has the same format for all models.
    pub(crate) fn is_converse(self) -> bool {
        matches!(self, Self::ConverseStream | Self::Converse)
    }

    /// Whether its answer comes at once.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Converse | Self::InvokeModel)
    }
}

/// Members of a Converse body whose value the server may have to set.
const GUARDRAIL: &str = "guardrailConfig";
const METADATA: &str = "requestMetadata";
const FIELDS: &str = "additionalModelRequestFields";

/// Checks a request whose body is relayed.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub(crate) fn check(
    mut request: GenerateRequest,
    relayed: &Relayed,
    rules: &Rules,
) -> Result<(Checked<GenerateRequest>, Serving), Error> {
    let mut violations = Violations::default();
    let ResolvedModel { name, mut route } = resolve_model(&mut request.model, rules, &mut violations);
    let is_converse = relayed.operation.is_converse();
    if let Some(alias) = rules.aliases.get(&name) {
        if is_converse {
            alias.apply_to_body(&name, &mut request, &mut violations);
        } else {
            alias.apply(&name, &mut request, &mut violations);
        }
    }
    if !unique::is_unique(&request.native_body) {
        violations.add("body", "is not JSON, or has a member twice");
    }
    settings::check(&request, &mut violations);
    native::check(&request, &mut violations);
    let mut serving = serving::check(&request, &rules.timeouts, &mut violations);
    violations.into_result()?;
    // The format of the answer is Bedrock's, which has no heartbeats.
    serving.heartbeat = None;
    if !is_converse {
        route.retain(|target| target.model_id == request.model || native::also_suits(&mut request, &target.model_id));
    }
    if relayed.operation.is_whole() {
        // Bedrock answers when all is generated.
        serving.timeouts.first_content = serving.timeouts.total;
    }
    if is_converse {
        insert_settings(&mut request)?;
    }
    Ok((Checked { request: Valid(request), name, route }, serving))
}

/// Checks a request to count the tokens of a body as it is. The defaults of an alias are not counted.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub(crate) fn check_count(mut request: GenerateRequest, rules: &Rules) -> Result<Checked<GenerateRequest>, Error> {
    let mut violations = Violations::default();
    let ResolvedModel { name, route } = resolve_model(&mut request.model, rules, &mut violations);
    if !unique::is_unique(&request.native_body) {
        violations.add("body", "is not JSON, or has a member twice");
    }
    native::check(&request, &mut violations);
    violations.into_result()?;
    Ok(Checked { request: Valid(request), name, route })
}

/// Whether a body to count tokens has a body of InvokeModel in it.
pub(super) fn counts_native(body: &str) -> bool {
    members(body).get("input").and_then(|input| input.get("invokeModel")).is_some()
}

/// Puts the guardrail and the metadata that stand beside a body into it, where Converse has them. Nothing else of the body changes.
fn insert_settings(request: &mut GenerateRequest) -> Result<(), Error> {
    let mut added = Map::new();
    if let Some(config) = request.guardrail_config.take() {
        let mut guardrail = Map::new();
        for (name, value) in [
            ("guardrailIdentifier", config.guardrail_identifier),
            ("guardrailVersion", config.guardrail_version),
            ("trace", config.trace),
        ] {
            if !value.is_empty() {
                guardrail.insert(name.to_owned(), value.into());
            }
        }
        added.insert(GUARDRAIL.to_owned(), guardrail.into());
    }
    if !request.request_metadata.is_empty() {
        let metadata: Map<_, _> = request.request_metadata.drain().map(|(name, value)| (name, value.into())).collect();
        added.insert(METADATA.to_owned(), metadata.into());
    }
    if added.is_empty() {
        return Ok(());
    }
    let body = members(&request.native_body);
    for (name, value) in &added {
        if body.get(name).is_some_and(|own| own != value) {
            let message = format!(
                "the operator sets {name:?} for this caller or alias, and the body has another one. Leave it out"
            );
            return Err(Error::new(Reason::PermissionDenied, message));
        }
    }
    added.retain(|name, _| !body.contains_key(name));
    insert(&mut request.native_body, &added);
    Ok(())
}

/// Writes members into a JSON object, before its first. The rest stays as it is.
pub(super) fn insert(body: &mut String, added: &Map<String, Value>) {
    let Some(at) = body.find('{').filter(|_| !added.is_empty()) else { return };
    let is_empty = body[at + 1..].trim_start().starts_with('}');
    let text = Value::Object(added.clone()).to_string();
    let inner = text.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
    body.insert_str(at + 1, &format!("{inner}{}", if is_empty { "" } else { "," }));
}

/// The members of a body that was checked.
pub(super) fn members(body: &str) -> Map<String, Value> {
    serde_json::from_str(body).unwrap_or_default()
}

/// Checks what a Converse body names against the permissions of the caller.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn check_permitted(body: &str, identity: &Identity, has_guardrail: bool) -> Result<(), Error> {
    let body = members(body);
    let permissions = identity.permissions();
    let forbidden = body.iter().find_map(|(name, value)| forbidden(value, name == FIELDS, permissions));
    if let Some(uri) = forbidden {
        let caller = identity.caller();
        let message = format!(
            "the caller {caller:?} may not name {uri:?}. Send the bytes, or ask the operator for `s3_prefixes`"
        );
        return Err(Error::new(Reason::PermissionDenied, message).logged_as("the caller may not name the S3 object"));
    }
    if has_guardrail && body.values().any(has_guard_content) {
        let message = "the operator has set a guardrail for this caller, and `guardContent` would hide the rest of the request from it. Send the text as `text`";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    Ok(())
}

/// The first S3 URI that the caller may not name. In free JSON each text counts, because its meaning is the model's.
fn forbidden<'a>(value: &'a Value, is_free: bool, permissions: &Permissions) -> Option<&'a str> {
    match value {
        Value::String(text) if is_free => {
            Some(text.as_str()).filter(|text| text.starts_with("s3://") && !permissions.allow_s3(text))
        }
        Value::Array(list) => list.iter().find_map(|value| forbidden(value, is_free, permissions)),
        Value::Object(members) => members.iter().find_map(|(name, value)| match value {
            Value::Object(location) if name == "s3Location" => {
                let uri = location.get("uri").and_then(Value::as_str)?;
                (!permissions.allow_s3(uri)).then_some(uri)
            }
            value => forbidden(value, is_free || name == FIELDS, permissions),
        }),
        _ => None,
    }
}

fn has_guard_content(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_guard_content),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name == "guardContent" || has_guard_content(value))
        }
        _ => false,
    }
}
