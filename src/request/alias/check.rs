//! Finds what is wrong with the defaults of an alias before a request names it: each default is checked as a request that has it.

use super::{Alias, Applied};
use crate::{
    error::Error,
    failover::routes::Target,
    proto::GenerateRequest,
    request::{PROMPT_ARN, content, native, settings, violations::Violations},
};

/// Something that is wrong with an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key of the alias in the configuration file. Empty: the alias itself.
    pub key: &'static str,
    /// The rest of the sentence.
    pub text: String,
}

impl Alias {
    /// All problems with the defaults for these targets. If the targets are not known, those that no model could serve.
    pub fn problems(&self, targets: &[Target]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |key, text: String| {
            let problem = Problem { key, text };
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        if let (Some(limit), Some(default)) = (self.max_tokens_limit, self.inference.max_tokens)
            && default > limit
        {
            add(
                "max_tokens",
                format!("is {default}, which is more than max_tokens_limit ({limit}). Raise one or lower the other"),
            );
        }
        if self.max_tokens_limit.is_some() && super::bounds_output(&self.additional_fields) {
            let text = "has a number of tokens or of answers beside max_tokens_limit. Write max_tokens instead";
            add("additional_model_request_fields", text.to_owned());
        }
        let unknown = [Target::here("")];
        for target in if targets.is_empty() { &unknown } else { targets } {
            let mut request = GenerateRequest { model: target.model_id.clone(), ..GenerateRequest::default() };
            let mut violations = Violations::default();
            let applied = self.apply("", &mut request, &mut violations);
            content::check_system(&request.system, &mut violations);
            settings::check(&request, &mut violations);
            native::check(&request, &mut violations);
            let native = native::is_native(&request);
            let broken = violations.into_result().err();
            for violation in broken.iter().flat_map(Error::violations) {
                let key = key_of(&applied, &violation.field);
                let at = if native { format!(" (the target {target})") } else { String::new() };
                add(key, format!("{}{at}", violation.description));
            }
            if target.model_id.contains(PROMPT_ARN) {
                for Applied { key, .. } in applied.iter().filter(|applied| in_a_prompt(applied.field)) {
                    add(key, format!("cannot be used with {target}: a prompt of Bedrock has its own. Leave it out"));
                }
            }
        }
        problems
    }
}

/// Whether Bedrock refuses a field beside the ARN of a prompt.
fn in_a_prompt(field: &str) -> bool {
    ["system", "additional_model_request_fields"].contains(&field) || field.starts_with("inference_config.")
}

/// The key that put a value into a field.
fn key_of(applied: &[Applied], field: &str) -> &'static str {
    let found = applied.iter().find(|applied| field.starts_with(applied.field));
    found.map_or("", |applied| applied.key)
}
