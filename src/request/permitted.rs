//! Applies the permissions of the caller to a checked request, and puts into a request what the operator imposes on its caller.

use prost_types::{Struct, Value, value::Kind};

use super::{
    Checked, Valid,
    relayed::{self, Relayed},
};
use crate::{
    error::{Error, Reason},
    failover::routes::Target,
    identity::{Identity, Permissions},
    proto::{
        ContentBlock, CountTokensRequest, DocumentSource, GenerateRequest, GuardrailStreamConfiguration, ImageSource,
        Message, ToolResultContentBlock, VideoSource, audio_source, content_block::Block, document_source,
        image_source, tool_result_content_block, video_source,
    },
};

/// The member of a native body that chooses which of its parts a guardrail sees.
const GUARDRAIL_TAGS: &str = "amazon-bedrock-guardrailConfig";

/// Puts the imposed guardrail and metadata into a request, in place of what the request says.
pub(crate) fn impose(request: &mut GenerateRequest, identity: &Identity) {
    let Some(imposed) = identity.imposed() else { return };
    if let Some(guardrail) = &imposed.guardrail {
        let trace = request.guardrail_config.take().unwrap_or_default().trace;
        request.guardrail_config = Some(GuardrailStreamConfiguration {
            guardrail_identifier: guardrail.identifier.clone(),
            guardrail_version: guardrail.version.clone(),
            trace,
            // In the other mode text is sent before it is assessed.
            stream_processing_mode: String::new(),
        });
    }
    let metadata = imposed.request_metadata.iter().map(|(key, value)| (key.clone(), value.clone()));
    request.request_metadata.extend(metadata);
}

/// Checks a request whose body is relayed. Targets in other regions leave its route.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_relayed(
    checked: &mut Checked<GenerateRequest>,
    relayed: &Relayed,
    identity: &Identity,
    home: &str,
) -> Result<(), Error> {
    check_targets(&checked.name, &mut checked.route, identity, home)?;
    let body = &checked.request.get().native_body;
    if relayed.operation.is_converse() {
        relayed::check_permitted(body, identity, has_guardrail(identity))?;
    } else {
        check_native_body(body, identity)?;
    }
    keep_model_of_first_target(checked, |request, model| request.model = model);
    Ok(())
}

/// Checks a request to count the tokens of a body as it is. Targets in other regions leave its route.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_relayed_count(
    checked: &mut Checked<GenerateRequest>,
    identity: &Identity,
    home: &str,
) -> Result<(), Error> {
    check_targets(&checked.name, &mut checked.route, identity, home)?;
    let body = &checked.request.get().native_body;
    if relayed::counts_native(body) {
        check_native_body(body, identity)?;
    }
    relayed::check_permitted(body, identity, false)
}

/// Checks a request to generate, with the history of its conversation. Targets in other regions leave its route.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check(checked: &mut Checked<GenerateRequest>, identity: &Identity, home: &str) -> Result<(), Error> {
    check_targets(&checked.name, &mut checked.route, identity, home)?;
    let request = checked.request.get();
    check_content(&request.messages, request.additional_model_request_fields.as_ref(), identity)?;
    if !request.native_body.is_empty() {
        check_native_body(&request.native_body, identity)?;
    }
    if has_guardrail(identity) && request.messages.iter().any(has_guard_content) {
        let message = "the operator has set a guardrail for this caller, and `guard_content` would hide the rest of the request from it. Send the text as `text`";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    keep_model_of_first_target(checked, |request, model| request.model = model);
    Ok(())
}

/// Checks a request to count tokens. Targets in other regions leave its route.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_count(
    checked: &mut Checked<CountTokensRequest>,
    identity: &Identity,
    home: &str,
) -> Result<(), Error> {
    check_targets(&checked.name, &mut checked.route, identity, home)?;
    let request = checked.request.get();
    check_content(&request.messages, request.additional_model_request_fields.as_ref(), identity)?;
    keep_model_of_first_target(checked, |request, model| request.model = model);
    Ok(())
}

/// Checks the model or route that a request or a new conversation names.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_model(name: &str, identity: &Identity) -> Result<(), Error> {
    if identity.permissions().allow_model(name) {
        return Ok(());
    }
    let caller = identity.caller();
    let message = format!("the caller {caller:?} may not use the model {name:?}. ListModels tells which it may use");
    Err(Error::new(Reason::PermissionDenied, message))
}

fn check_targets(name: &str, route: &mut Vec<Target>, identity: &Identity, home: &str) -> Result<(), Error> {
    check_model(name, identity)?;
    let region = |target: &Target| target.region.clone().unwrap_or_else(|| home.to_owned());
    let tried: Vec<_> = route.iter().map(region).collect();
    route.retain(|target| identity.permissions().allow_region(&region(target)));
    if route.is_empty() {
        let (caller, tried) = (identity.caller(), tried.join(", "));
        let message = format!("the caller {caller:?} may not use {name:?} in {tried}. Ask the operator for `regions`");
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    Ok(())
}

fn keep_model_of_first_target<R>(checked: &mut Checked<R>, set: impl FnOnce(&mut R, String)) {
    if let Some(first) = checked.route.first() {
        let Valid(request) = &mut checked.request;
        set(request, first.model_id.clone());
    }
}

fn check_native_body(body: &str, identity: &Identity) -> Result<(), Error> {
    if !identity.permissions().allow_native_bodies() {
        let message = "this caller may not send `native_body`. Use the fields of the request, or ask the operator for `native_bodies`";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    // The request check has refused a body that is not an object.
    let members = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body).unwrap_or_default();
    if has_guardrail(identity) && members.contains_key(GUARDRAIL_TAGS) {
        let message = format!(
            "the operator has set a guardrail for this caller, and {GUARDRAIL_TAGS:?} would hide a part of the body from it. Leave it out"
        );
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    Ok(())
}

fn has_guardrail(identity: &Identity) -> bool {
    identity.imposed().is_some_and(|imposed| imposed.guardrail.is_some())
}

fn has_guard_content(message: &Message) -> bool {
    message.content.iter().any(|content| matches!(content.block, Some(Block::GuardContent(_))))
}

/// The server's AWS role reads S3 objects, so a caller names only those that are its own.
fn check_content(messages: &[Message], fields: Option<&Struct>, identity: &Identity) -> Result<(), Error> {
    let permissions = identity.permissions();
    let mut blocks = messages.iter().flat_map(|message| &message.content);
    let named = blocks.find_map(|content| forbidden_in(content, permissions));
    let named = named.or_else(|| fields?.fields.values().find_map(|value| forbidden_in_value(value, permissions)));
    let Some(uri) = named else { return Ok(()) };
    let caller = identity.caller();
    let message =
        format!("the caller {caller:?} may not name {uri:?}. Send the bytes, or ask the operator for `s3_prefixes`");
    Err(Error::new(Reason::PermissionDenied, message).logged_as("the caller may not name the S3 object"))
}

/// The first S3 URI in a block that the caller may not name.
fn forbidden_in<'a>(content: &'a ContentBlock, permissions: &Permissions) -> Option<&'a str> {
    let uri = match content.block.as_ref()? {
        Block::Image(image) => image.source.as_ref().and_then(of_image),
        Block::Document(document) => document.source.as_ref().and_then(of_document),
        Block::Video(video) => video.source.as_ref().and_then(of_video),
        Block::Audio(audio) => match audio.source.as_ref()?.source.as_ref()? {
            audio_source::Source::S3Location(location) => Some(location.uri.as_str()),
            audio_source::Source::Bytes(_) => None,
        },
        Block::ToolResult(result) => {
            let mut uris = result.content.iter().filter_map(of_tool_result);
            return uris.find(|uri| !permissions.allow_s3(uri));
        }
        _ => None,
    };
    uri.filter(|uri| !permissions.allow_s3(uri))
}

fn of_tool_result(content: &ToolResultContentBlock) -> Option<&str> {
    use tool_result_content_block::Block;
    match content.block.as_ref()? {
        Block::Image(image) => of_image(image.source.as_ref()?),
        Block::Document(document) => of_document(document.source.as_ref()?),
        Block::Video(video) => of_video(video.source.as_ref()?),
        _ => None,
    }
}

fn of_image(source: &ImageSource) -> Option<&str> {
    match source.source.as_ref()? {
        image_source::Source::S3Location(location) => Some(&location.uri),
        image_source::Source::Bytes(_) => None,
    }
}

fn of_document(source: &DocumentSource) -> Option<&str> {
    match source.source.as_ref()? {
        document_source::Source::S3Location(location) => Some(&location.uri),
        _ => None,
    }
}

fn of_video(source: &VideoSource) -> Option<&str> {
    match source.source.as_ref()? {
        video_source::Source::S3Location(location) => Some(&location.uri),
        video_source::Source::Bytes(_) => None,
    }
}

/// The first text of free JSON that begins as an S3 URI and that the caller may not name. Its meaning is the model's, so every text counts.
fn forbidden_in_value<'a>(value: &'a Value, permissions: &Permissions) -> Option<&'a str> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => {
            Some(text.as_str()).filter(|text| text.starts_with("s3://") && !permissions.allow_s3(text))
        }
        Kind::ListValue(list) => list.values.iter().find_map(|value| forbidden_in_value(value, permissions)),
        Kind::StructValue(object) => object.fields.values().find_map(|value| forbidden_in_value(value, permissions)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
