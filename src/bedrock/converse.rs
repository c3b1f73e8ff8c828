//! Maps a checked request to the SDK's operations, member by member.
//!
//! - `content` messages and system blocks; `citation` the citations in them
//! - `tools` tools and tool choice
//! - `settings` sampling, guardrail, output, metadata
//! - `document` free JSON

mod citation;
mod content;
mod document;
mod settings;
mod tools;

use std::collections::HashMap;

use aws_sdk_bedrockruntime::{
    Client,
    error::BuildError,
    operation::{
        converse_stream::builders::ConverseStreamFluentBuilder, count_tokens::builders::CountTokensFluentBuilder,
    },
    types as aws,
};

use crate::{
    error::{Error, Reason},
    proto::{CountTokensRequest, GenerateRequest},
    request::Valid,
};

/// Builds the ConverseStream operation.
pub(crate) fn stream(client: &Client, request: Valid<GenerateRequest>) -> Result<ConverseStreamFluentBuilder, Error> {
    // The complete destructuring makes a new field of the contract a compile error here.
    let GenerateRequest {
        model,
        // It is the last message.
        prompt: _,
        messages,
        system,
        inference_config,
        tool_config,
        guardrail_config,
        additional_model_request_fields,
        additional_model_response_field_paths,
        prompt_variables,
        request_metadata,
        performance_config,
        service_tier,
        output_config,
        // Only for the native operation.
        operation: _,
        model_family: _,
        native_body: _,
        // In `crate::request::Serving`.
        time_limits: _,
        abandonment_mode: _,
        heartbeat_interval: _,
        // The form of the answer: `crate::event`, `crate::response::collected`.
        json_form: _,
        include_message: _,
        cache_key: _,
        priority: _,
        // The history is in `messages`.
        conversation_id: _,
        turn_id: _,
        conversation_revision: _,
    } = request.into_inner();
    Ok(client
        .converse_stream()
        .model_id(model)
        .set_messages(some_list(content::messages(messages)?))
        .set_system(some_list(content::system(system)?))
        .set_inference_config(inference_config.map(settings::inference))
        .set_tool_config(tool_config.map(tools::configuration).transpose()?)
        .set_guardrail_config(guardrail_config.map(settings::guardrail))
        .set_additional_model_request_fields(additional_model_request_fields.as_ref().map(document::of_struct))
        .set_additional_model_response_field_paths(some_list(additional_model_response_field_paths))
        .set_prompt_variables(some_map(settings::prompt_variables(prompt_variables)?))
        .set_request_metadata(some_map(request_metadata))
        .set_performance_config(performance_config.as_ref().map(settings::performance))
        .set_service_tier(service_tier.as_ref().map(settings::service_tier).transpose()?)
        .set_output_config(output_config.map(settings::output).transpose()?))
}

/// Builds the CountTokens operation with Converse input.
pub(super) fn count(client: &Client, request: Valid<CountTokensRequest>) -> Result<CountTokensFluentBuilder, Error> {
    let CountTokensRequest { model, prompt: _, messages, system, tool_config, additional_model_request_fields } =
        request.into_inner();
    let converse = aws::ConverseTokensRequest::builder()
        .set_messages(some_list(content::messages(messages)?))
        .set_system(some_list(content::system(system)?))
        .set_tool_config(tool_config.map(tools::configuration).transpose()?)
        .set_additional_model_request_fields(additional_model_request_fields.as_ref().map(document::of_struct))
        .build();
    Ok(client.count_tokens().model_id(model).input(aws::CountTokensInput::Converse(converse)))
}

/// Converts every item, or returns the first error.
fn each<From, To>(items: Vec<From>, convert: impl Fn(From) -> Result<To, Error>) -> Result<Vec<To>, Error> {
    items.into_iter().map(convert).collect()
}

/// A list that is not sent if it is empty.
fn some_list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// A map that is not sent if it is empty.
fn some_map<T>(entries: HashMap<String, T>) -> Option<HashMap<String, T>> {
    (!entries.is_empty()).then_some(entries)
}

/// A string that is not sent if it is empty.
fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Returns a value that the check of the request guarantees.
fn checked<T>(value: Option<T>, what: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::new(Reason::Internal, format!("the check of the request did not require {what}")))
}

/// A builder fails only if a required member is missing, which the check of the request excludes.
impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::new(Reason::Internal, "the request to Bedrock could not be built").with_source(error)
    }
}
