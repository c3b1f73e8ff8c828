//! An alias: a route with defaults for the requests that name it, and with a limit of the tokens that they may ask for.
//!
//! - `body` the defaults in a body that is relayed
//! - `check` finds defaults that can never be served

mod body;
mod check;

pub use self::check::Problem;
use super::violations::Violations;
use crate::{
    admission::estimate,
    json,
    proto::{
        CountTokensRequest, GenerateRequest, GuardrailStreamConfiguration, InferenceConfiguration,
        PerformanceConfiguration, ServiceTier, SystemContentBlock, system_content_block::Block,
    },
};

use prost_types::Struct;

/// What an alias adds to its route. A default applies where a request says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alias {
    /// What it is for, for people. Empty: nothing is said.
    pub description: String,
    /// The system prompt. Empty: none.
    pub system: String,
    /// Sampling parameters.
    pub inference: InferenceConfiguration,
    /// Inference parameters that are specific to the model.
    pub additional_fields: Struct,
    /// The guardrail.
    pub guardrail: Option<GuardrailStreamConfiguration>,
    /// The latency mode. Empty: none.
    pub latency: String,
    /// The processing tier. Empty: none.
    pub service_tier: String,
    /// The most tokens that a request may ask for, and the number for a request that does not say one.
    pub max_tokens_limit: Option<i32>,
}

/// A default that was put into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    /// The field of the request.
    field: &'static str,
    /// The key of the alias in the configuration file.
    key: &'static str,
}

impl Alias {
    /// Puts the defaults into a request, and checks its tokens against the limit. A `native_body` is sent unchanged, so it gets only what
    /// stands beside it.
    pub(super) fn apply(&self, name: &str, request: &mut GenerateRequest, violations: &mut Violations) -> Vec<Applied> {
        let mut applied = Vec::new();
        self.check_limit(name, request, violations);
        if request.native_body.is_empty() {
            self.apply_inference(request, &mut applied);
            self.apply_system(&mut request.system, &mut applied);
            self.apply_additional(&mut request.additional_model_request_fields, &mut applied);
        }
        self.apply_guardrail(request, &mut applied);
        let latency = request.performance_config.as_ref().map(|config| config.latency.as_str());
        if !self.latency.is_empty() && latency.unwrap_or_default().is_empty() {
            request.performance_config = Some(PerformanceConfiguration { latency: self.latency.clone() });
            applied.push(Applied { field: "performance_config", key: "latency" });
        }
        if !self.service_tier.is_empty() && request.service_tier.is_none() {
            request.service_tier = Some(ServiceTier { r#type: self.service_tier.clone() });
            applied.push(Applied { field: "service_tier", key: "service_tier" });
        }
        applied
    }

    /// Puts the defaults that have input tokens into a request to count them.
    pub(super) fn apply_count(&self, request: &mut CountTokensRequest) {
        self.apply_system(&mut request.system, &mut Vec::new());
        self.apply_additional(&mut request.additional_model_request_fields, &mut Vec::new());
    }

    fn apply_inference(&self, request: &mut GenerateRequest, applied: &mut Vec<Applied>) {
        let mut config = request.inference_config.clone().unwrap_or_default();
        let mut default = |field, key| applied.push(Applied { field, key });
        let names_maximum =
            config.max_tokens.is_some() || request.additional_model_request_fields.as_ref().is_some_and(bounds_output);
        if !names_maximum && self.inference.max_tokens.is_some() {
            config.max_tokens = self.inference.max_tokens;
            default("inference_config.max_tokens", "max_tokens");
        } else if !names_maximum && self.max_tokens_limit.is_some() {
            config.max_tokens = self.max_tokens_limit;
            default("inference_config.max_tokens", "max_tokens_limit");
        }
        // Newer models take only one of the two, so a request that sets one of them gets neither.
        if config.temperature.is_none() && config.top_p.is_none() {
            for (value, own, field, key) in [
                (&mut config.temperature, self.inference.temperature, "inference_config.temperature", "temperature"),
                (&mut config.top_p, self.inference.top_p, "inference_config.top_p", "top_p"),
            ] {
                if own.is_some() {
                    *value = own;
                    default(field, key);
                }
            }
        }
        if config.stop_sequences.is_empty() && !self.inference.stop_sequences.is_empty() {
            config.stop_sequences.clone_from(&self.inference.stop_sequences);
            default("inference_config.stop_sequences", "stop_sequences");
        }
        if request.inference_config.is_some() || config != InferenceConfiguration::default() {
            request.inference_config = Some(config);
        }
    }

    fn apply_system(&self, system: &mut Vec<SystemContentBlock>, applied: &mut Vec<Applied>) {
        if system.is_empty() && !self.system.is_empty() {
            system.push(SystemContentBlock { block: Some(Block::Text(self.system.clone())) });
            applied.push(Applied { field: "system", key: "system" });
        }
    }

    fn apply_additional(&self, fields: &mut Option<Struct>, applied: &mut Vec<Applied>) {
        for (name, value) in &self.additional_fields.fields {
            let fields = &mut fields.get_or_insert_default().fields;
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if !self.additional_fields.fields.is_empty() {
            let name = "additional_model_request_fields";
            applied.push(Applied { field: name, key: name });
        }
    }

    /// A request that names a guardrail of its own gets nothing of this one.
    fn apply_guardrail(&self, request: &mut GenerateRequest, applied: &mut Vec<Applied>) {
        let Some(guardrail) = &self.guardrail else { return };
        let own = request.guardrail_config.clone().unwrap_or_default();
        if own.guardrail_identifier.is_empty() && own.guardrail_version.is_empty() {
            request.guardrail_config = Some(GuardrailStreamConfiguration {
                guardrail_identifier: guardrail.guardrail_identifier.clone(),
                guardrail_version: guardrail.guardrail_version.clone(),
                ..own
            });
            applied.push(Applied { field: "guardrail_config", key: "guardrail" });
        }
    }

    /// The limit holds wherever a request can say a number of tokens. Where the server cannot see it, it is refused.
    fn check_limit(&self, name: &str, request: &GenerateRequest, violations: &mut Violations) {
        let Some(limit) = self.max_tokens_limit else { return };
        let wanted = request.inference_config.as_ref().and_then(|config| config.max_tokens);
        if let Some(wanted) = wanted.filter(|wanted| *wanted > limit) {
            let text = format!("is {wanted}; the alias {name:?} allows at most {limit}");
            violations.add("inference_config.max_tokens", text);
        }
        let instead = "Set inference_config.max_tokens instead";
        if request.additional_model_request_fields.as_ref().is_some_and(bounds_output) {
            let text = format!("has a number of tokens or of answers, and the alias {name:?} limits them. {instead}");
            violations.add("additional_model_request_fields", text);
        }
        if !request.native_body.is_empty() {
            let text = format!(
                "cannot be used with the alias {name:?}, which limits the tokens. Use the fields of the request, or another model"
            );
            violations.add("native_body", text);
        }
    }
}

/// Whether inference parameters of the model say how much it may generate.
fn bounds_output(fields: &Struct) -> bool {
    estimate::bounds_output(&json::from_struct(fields))
}

impl Violations {
    /// Adds to the violations of fields with defaults where their values come from, because the caller does not know them.
    pub(super) fn explain(&mut self, alias: &str, applied: &[Applied]) {
        for Applied { field, .. } in applied {
            let is_below =
                |of: &str| of.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            for violation in self.all().filter(|violation| is_below(&violation.field)) {
                let whose = format!(
                    ". The value is a default of the alias {alias:?}: set the field, name another model, or ask the operator"
                );
                violation.description.push_str(&whose);
            }
        }
    }
}

#[cfg(test)]
mod tests;
