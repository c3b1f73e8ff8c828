//! A request checked and resolved into another type, so that Bedrock cannot be handed an unchecked one.
//!
//! Comes after [`crate::service`] and before [`crate::bedrock`]. What Bedrock would refuse for certain is refused here, all
//! violations at once; what only Bedrock can judge is left to it.
//!
//! - `content` the blocks of messages and of the system prompt
//! - `tools` what the model may call
//! - `settings` sampling, guardrail, output and the rest
//! - [`native`] what the native operation takes, family by family
//! - `path`, `violations` where something is wrong, and what

mod content;
pub(crate) mod native;
mod path;
mod settings;
mod tools;
mod violations;

pub use self::native::{Family, Feature, SUPPORT, Support};
use self::{path::Path, violations::Violations};
use crate::{
    error::Error,
    proto::{ContentBlock, CountTokensRequest, GenerateRequest, Message, Role, content_block},
};

/// The longest model id, in characters: the limit of the Bedrock Runtime API.
const MAX_MODEL_ID: usize = 2_048;

/// What marks the ARN of a prompt, which brings its own messages.
const PROMPT_ARN: &str = ":prompt/";

/// A request that breaks no rule: `model` is set, and `prompt` has become the last of `messages`.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid<Request>(Request);

impl<Request> Valid<Request> {
    /// The request, to look at.
    pub fn get(&self) -> &Request {
        &self.0
    }

    /// The request.
    pub fn into_inner(self) -> Request {
        self.0
    }
}

/// Checks a request to generate.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check(mut request: GenerateRequest, default_model: Option<&str>) -> Result<Valid<GenerateRequest>, Error> {
    let mut violations = Violations::default();
    resolve_model(&mut request.model, default_model, &mut violations);
    if request.native_body.is_empty() {
        check_conversation(&request.messages, &request.prompt, &request.model, &mut violations);
    }
    content::check_system(&request.system, &mut violations);
    if let Some(config) = &request.tool_config {
        tools::check(config, &Path::root("tool_config"), &mut violations);
    }
    settings::check(&request, &mut violations);
    native::check(&request, &mut violations);
    violations.into_result()?;
    take_prompt(&mut request.prompt, &mut request.messages);
    Ok(Valid(request))
}

/// Checks a request to count tokens.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check_count(
    mut request: CountTokensRequest,
    default_model: Option<&str>,
) -> Result<Valid<CountTokensRequest>, Error> {
    let mut violations = Violations::default();
    resolve_model(&mut request.model, default_model, &mut violations);
    check_conversation(&request.messages, &request.prompt, &request.model, &mut violations);
    content::check_system(&request.system, &mut violations);
    if let Some(config) = &request.tool_config {
        tools::check(config, &Path::root("tool_config"), &mut violations);
    }
    violations.into_result()?;
    take_prompt(&mut request.prompt, &mut request.messages);
    Ok(Valid(request))
}

fn resolve_model(model: &mut String, default_model: Option<&str>, violations: &mut Violations) {
    if model.is_empty() {
        default_model.unwrap_or_default().clone_into(model);
    }
    let length = model.chars().count();
    if model.is_empty() {
        violations.add("model", "is empty, and this server has no default model. Name one, or set --default-model");
    } else if length > MAX_MODEL_ID {
        violations.add("model", format!("has {length} characters; at most {MAX_MODEL_ID} are allowed"));
    } else if model.chars().any(|c| c.is_whitespace() || c.is_control()) {
        violations.add("model", format!("{model:?} holds white space; a model id or ARN does not"));
    }
}

fn check_conversation(messages: &[Message], prompt: &str, model: &str, violations: &mut Violations) {
    match (messages.first(), prompt) {
        (None, "") if !model.contains(PROMPT_ARN) => {
            violations.add("prompt", "and messages are both empty. Set prompt, or at least one message");
        }
        // The ARN of a prompt brings its own messages, before these.
        (Some(first), _) if first.role() == Role::Assistant && !model.contains(PROMPT_ARN) => {
            violations.add("messages[0].role", "is ROLE_ASSISTANT. A conversation starts with a user message");
        }
        _ => {}
    }
    if !prompt.is_empty() {
        violations.not_blank("prompt", prompt);
    }
    for (at, message) in messages.iter().enumerate() {
        content::check_message(message, &Path::root_entry("messages", at), violations);
    }
}

fn take_prompt(prompt: &mut String, messages: &mut Vec<Message>) {
    if !prompt.is_empty() {
        let block = ContentBlock { block: Some(content_block::Block::Text(std::mem::take(prompt))) };
        messages.push(Message { role: Role::User.into(), content: vec![block] });
    }
}

#[cfg(test)]
mod tests;
