//! Checks a request and resolves it into another type, so that an unchecked request cannot reach Bedrock.
//!
//! A request that Bedrock would certainly refuse is refused here, with all violations at once. Bedrock judges the rest.
//!
//! - [`alias`] the defaults of an alias, which a request gets before it is checked
//! - `content` the blocks of messages and of the system prompt
//! - `tools` tools and tool choice
//! - `settings` sampling, guardrail, output, metadata
//! - `rules` the settings that requests are checked against
//! - `generation_id` the id that the edge gives each call
//! - `serving` timeouts, abandonment, heartbeats
//! - [`native`] requests of the native operation, family by family
//! - [`permitted`] the permissions of the caller, and what is imposed on it
//! - [`relayed`] requests whose body is sent as it is
//! - `path`, `violations` the field and the description of each violation

pub mod alias;
mod content;
pub(crate) mod generation_id;
pub(crate) mod native;
mod path;
pub(crate) mod permitted;
pub(crate) mod relayed;
mod rules;
pub(crate) mod serving;
mod settings;
pub mod timeouts;
mod tools;
mod violations;

use std::time::Duration;

pub use self::{
    native::{FEATURES, Family, FamilyFeatures, Feature},
    rules::Rules,
    serving::Serving,
};
use self::{path::Path, violations::Violations};
use crate::{
    error::Error,
    failover::routes::Target,
    proto::{
        ContentBlock, CountTokensRequest, CreateConversationRequest, GenerateRequest, Message, Role, content_block,
    },
};

/// The longest model id, in characters: the limit of the Bedrock Runtime API.
const MAX_MODEL_ID: usize = 2_048;

/// The longest id of a turn, in characters.
pub(crate) const MAX_TURN_ID: usize = 128;

/// The longest name of a prompt cache, in characters.
const MAX_CACHE_KEY: usize = 128;

/// The most conversations or turns of a page.
const MAX_PAGE: i32 = 1_000;

/// Part of every ARN of a prompt. A prompt has its own messages.
const PROMPT_ARN: &str = ":prompt/";

/// A request without violations: `model` is set, and `prompt` has become the last of `messages`.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid<Request>(Request);

impl<Request> Valid<Request> {
    /// Borrows the request.
    pub fn get(&self) -> &Request {
        &self.0
    }

    /// Returns the request.
    pub fn into_inner(self) -> Request {
        self.0
    }
}

impl Valid<GenerateRequest> {
    /// The same request with the model of this target.
    pub(crate) fn at(&self, target: &Target) -> Self {
        Self(GenerateRequest { model: target.model_id.clone(), ..self.0.clone() })
    }
}

impl Valid<GenerateRequest> {
    /// Puts the history of the conversation before the messages of the request. History is not checked: models wrote it, and their
    /// answers can break the rules for input.
    pub(crate) fn prepend_history(&mut self, history: Vec<Message>) {
        let new = std::mem::take(&mut self.0.messages);
        self.0.messages = history.into_iter().chain(new).collect();
    }
}

impl Valid<CountTokensRequest> {
    /// The same request with the model of this target.
    pub(crate) fn at(&self, target: &Target) -> Self {
        Self(CountTokensRequest { model: target.model_id.clone(), ..self.0.clone() })
    }
}

/// A checked request and its targets.
#[derive(Clone, Debug)]
pub struct Checked<Request> {
    /// The request, for the first of its targets.
    pub request: Valid<Request>,
    /// The model or route that the request names, or the default.
    pub name: String,
    /// The targets in order of preference; never empty.
    pub route: Vec<Target>,
}

/// Checks a request to generate.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check(mut request: GenerateRequest, rules: &Rules) -> Result<(Checked<GenerateRequest>, Serving), Error> {
    let mut violations = Violations::default();
    let ResolvedModel { name, mut route } = resolve_model(&mut request.model, rules, &mut violations);
    let alias = rules.aliases.get(&name);
    let defaults = alias.map(|alias| alias.apply(&name, &mut request, &mut violations)).unwrap_or_default();
    if request.native_body.is_empty() {
        check_messages(&request.messages, &request.prompt, &request.model, &mut violations);
    }
    content::check_system(&request.system, &mut violations);
    if let Some(config) = &request.tool_config {
        tools::check(config, &Path::root("tool_config"), &mut violations);
    }
    violations.length("turn_id", &request.turn_id, 0..=MAX_TURN_ID);
    violations.length("cache_key", &request.cache_key, 0..=MAX_CACHE_KEY);
    settings::check(&request, &mut violations);
    native::check(&request, &mut violations);
    let serving = serving::check(&request, &rules.timeouts, &mut violations);
    violations.explain(&name, &defaults);
    violations.into_result()?;
    // A target that cannot take the request is left out of its route.
    route.retain(|target| target.model_id == request.model || native::also_suits(&mut request, &target.model_id));
    take_prompt(&mut request.prompt, &mut request.messages);
    Ok((Checked { request: Valid(request), name, route }, serving))
}

/// The total timeout of a request that is not checked yet, because it holds for what comes before the check too.
pub(crate) fn total_timeout(request: &GenerateRequest, rules: &Rules) -> Duration {
    serving::total_timeout(request, &rules.timeouts)
}

/// Checks a request to count tokens.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check_count(mut request: CountTokensRequest, rules: &Rules) -> Result<Checked<CountTokensRequest>, Error> {
    let mut violations = Violations::default();
    let ResolvedModel { name, route } = resolve_model(&mut request.model, rules, &mut violations);
    if let Some(alias) = rules.aliases.get(&name) {
        alias.apply_count(&mut request);
    }
    check_messages(&request.messages, &request.prompt, &request.model, &mut violations);
    content::check_system(&request.system, &mut violations);
    if let Some(config) = &request.tool_config {
        tools::check(config, &Path::root("tool_config"), &mut violations);
    }
    violations.into_result()?;
    take_prompt(&mut request.prompt, &mut request.messages);
    Ok(Checked { request: Valid(request), name, route })
}

/// Checks a request to create a conversation.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check_conversation(request: CreateConversationRequest) -> Result<CreateConversationRequest, Error> {
    let mut violations = Violations::default();
    if !request.model.is_empty() {
        check_model(&request.model, &mut violations);
    }
    content::check_system(&request.system, &mut violations);
    if let Some(bounds) = &request.bounds {
        if bounds.max_messages == 1 {
            violations.add("bounds.max_messages", "is 1; a turn has at least 2 messages");
        }
        if bounds.max_age.is_some_and(|age| !Duration::try_from(age).is_ok_and(|age| !age.is_zero())) {
            violations.add("bounds.max_age", "must be longer than 0s");
        }
    }
    violations.into_result().map(|()| request)
}

/// Checks a request for a page. `is_token` says whether a text is a token of the method's pages.
///
/// # Errors
/// `INVALID_REQUEST` with every violation.
pub fn check_page(page_size: i32, page_token: &str, is_token: impl Fn(&str) -> bool) -> Result<(), Error> {
    let mut violations = Violations::default();
    if !(0..=MAX_PAGE).contains(&page_size) {
        violations.add("page_size", format!("is {page_size}; it must be 1 to {MAX_PAGE}, or left out"));
    }
    if !page_token.is_empty() && !is_token(page_token) {
        let wanted = "it must be the next_page_token of the page before, or left out";
        violations.add("page_token", format!("is {page_token:?}; {wanted}"));
    }
    violations.into_result()
}

/// A model or route, and its targets.
struct ResolvedModel {
    name: String,
    route: Vec<Target>,
}

/// Resolves the model or route that the request names to its targets. `model` becomes the model of the first target.
fn resolve_model(model: &mut String, rules: &Rules, violations: &mut Violations) -> ResolvedModel {
    if model.is_empty() {
        rules.default_model.as_deref().unwrap_or_default().clone_into(model);
    }
    if model.is_empty() {
        violations.add(
            "model",
            "is not set, and this server has no default model. Set it, or start the server with --default-model",
        );
    } else {
        check_model(model, violations);
    }
    let route = rules.routes.targets(model);
    let first = route.first().map(|target| target.model_id.clone()).unwrap_or_default();
    ResolvedModel { name: std::mem::replace(model, first), route }
}

fn check_model(model: &str, violations: &mut Violations) {
    let length = model.chars().count();
    if length > MAX_MODEL_ID {
        violations.add("model", format!("has {length} characters; at most {MAX_MODEL_ID} are allowed"));
    } else if model.chars().any(|c| c.is_whitespace() || c.is_control()) {
        violations
            .add("model", format!("is {model:?}; a model id or ARN has no white space and no control characters"));
    }
}

fn check_messages(messages: &[Message], prompt: &str, model: &str, violations: &mut Violations) {
    match (messages.first(), prompt) {
        (None, "") if !model.contains(PROMPT_ARN) => {
            violations.add("prompt", "is not set, and messages is empty. Set prompt, or at least one message");
        }
        // The messages of a prompt resource stand before these.
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

pub(crate) fn take_prompt(prompt: &mut String, messages: &mut Vec<Message>) {
    if !prompt.is_empty() {
        let block = ContentBlock { block: Some(content_block::Block::Text(std::mem::take(prompt))) };
        messages.push(Message { role: Role::User.into(), content: vec![block] });
    }
}

#[cfg(test)]
mod tests;
