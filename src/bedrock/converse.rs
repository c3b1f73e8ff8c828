//! A checked request -> the SDK's ConverseStream operation, member by member.
//!
//! Comes after [`crate::request`], which has refused what this cannot carry; [`super::Bedrock`] sends it.

use aws_sdk_bedrockruntime::{
    Client,
    error::BuildError,
    operation::converse_stream::builders::ConverseStreamFluentBuilder,
    types::{self as aws, ConversationRole},
};

use crate::{
    error::{Error, Reason},
    proto::{
        ContentBlock, InferenceConfiguration, Message, Role, SystemContentBlock, content_block, system_content_block,
    },
    request::ValidRequest,
};

/// The operation, ready to be sent.
pub(super) fn operation(client: &Client, request: ValidRequest) -> Result<ConverseStreamFluentBuilder, Error> {
    let ValidRequest { model_id, messages, system, inference_config } = request;
    let messages = messages.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
    let system = system.into_iter().map(system_block).collect::<Result<Vec<_>, _>>()?;
    Ok(client
        .converse_stream()
        .model_id(model_id)
        .set_messages(Some(messages))
        .set_system((!system.is_empty()).then_some(system))
        .set_inference_config(inference_config.map(inference)))
}

fn message(message: Message) -> Result<aws::Message, Error> {
    let role = match message.role() {
        Role::Assistant => ConversationRole::Assistant,
        Role::System => ConversationRole::System,
        Role::User | Role::Unspecified => ConversationRole::User,
    };
    let content = message.content.into_iter().map(content_block).collect::<Result<Vec<_>, _>>()?;
    aws::Message::builder().role(role).set_content(Some(content)).build().map_err(defect)
}

fn content_block(block: ContentBlock) -> Result<aws::ContentBlock, Error> {
    match block.block {
        Some(content_block::Block::Text(text)) => Ok(aws::ContentBlock::Text(text)),
        _ => Err(unchecked("content")),
    }
}

fn system_block(block: SystemContentBlock) -> Result<aws::SystemContentBlock, Error> {
    match block.block {
        Some(system_content_block::Block::Text(text)) => Ok(aws::SystemContentBlock::Text(text)),
        _ => Err(unchecked("system")),
    }
}

fn inference(config: InferenceConfiguration) -> aws::InferenceConfiguration {
    let InferenceConfiguration { max_tokens, temperature, top_p, stop_sequences } = config;
    aws::InferenceConfiguration::builder()
        .set_max_tokens(max_tokens)
        .set_temperature(temperature)
        .set_top_p(top_p)
        .set_stop_sequences((!stop_sequences.is_empty()).then_some(stop_sequences))
        .build()
}

/// A block that `crate::request` should have refused.
fn unchecked(field: &str) -> Error {
    Error::new(Reason::Internal, format!("a block of {field} that cannot be sent was not refused"))
}

/// The builders refuse only what is missing, and nothing is missing after the check.
fn defect(error: BuildError) -> Error {
    Error::new(Reason::Internal, "a checked request could not be built").because(error)
}
