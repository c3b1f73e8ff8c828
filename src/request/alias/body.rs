//! The defaults of an alias in the body of a Converse request that is relayed. They are written into the body, and nothing of it is
//! encoded again: a member that the body has stays as it is, and what stands beside it in the alias does not apply.

use serde_json::{Map, Value};

use super::Alias;
use crate::{
    admission::estimate,
    json,
    proto::GenerateRequest,
    request::{
        relayed::{insert, members},
        violations::Violations,
    },
};

/// Members of a body.
const INFERENCE: &str = "inferenceConfig";
const FIELDS: &str = "additionalModelRequestFields";
const GUARDRAIL: &str = "guardrailConfig";

impl Alias {
    /// Puts the defaults into the body of Converse, and checks its tokens against the limit.
    pub(in crate::request) fn apply_to_body(
        &self,
        name: &str,
        request: &mut GenerateRequest,
        violations: &mut Violations,
    ) {
        let body = members(&request.native_body);
        self.check_limit_of_body(name, &body, violations);
        let mut added = Map::new();
        if !self.system.is_empty() {
            added.insert("system".to_owned(), serde_json::json!([{ "text": self.system }]));
        }
        let inference = self.inference_members();
        if !inference.is_empty() {
            added.insert(INFERENCE.to_owned(), inference.into());
        }
        if !self.additional_fields.fields.is_empty() {
            added.insert(FIELDS.to_owned(), json::from_struct(&self.additional_fields).into());
        }
        if !self.latency.is_empty() {
            added.insert("performanceConfig".to_owned(), serde_json::json!({ "latency": self.latency }));
        }
        if !self.service_tier.is_empty() {
            added.insert("serviceTier".to_owned(), serde_json::json!({ "type": self.service_tier }));
        }
        // One that is imposed on the caller stands beside the body until all is checked.
        if let Some(guardrail) = self.guardrail.as_ref().filter(|_| request.guardrail_config.is_none()) {
            let own = [
                ("guardrailIdentifier", &guardrail.guardrail_identifier),
                ("guardrailVersion", &guardrail.guardrail_version),
                ("trace", &guardrail.trace),
            ];
            let own = own.into_iter().filter(|(_, value)| !value.is_empty());
            let own: Map<_, _> = own.map(|(name, value)| (name.to_owned(), value.as_str().into())).collect();
            added.insert(GUARDRAIL.to_owned(), own.into());
        }
        added.retain(|name, _| !body.contains_key(name));
        insert(&mut request.native_body, &added);
    }

    fn inference_members(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut add = |name: &str, value: Option<Value>| all.extend(value.map(|value| (name.to_owned(), value)));
        add("maxTokens", self.inference.max_tokens.or(self.max_tokens_limit).map(Value::from));
        add("temperature", self.inference.temperature.map(written));
        add("topP", self.inference.top_p.map(written));
        let stops = &self.inference.stop_sequences;
        add("stopSequences", (!stops.is_empty()).then(|| stops.clone().into()));
        all
    }

    /// A number of tokens above the limit is refused, and so is a body that leaves it open where the server cannot write it.
    fn check_limit_of_body(&self, alias: &str, body: &Map<String, Value>, violations: &mut Violations) {
        let Some(limit) = self.max_tokens_limit else { return };
        match (body.get(INFERENCE), body.get(INFERENCE).and_then(|config| config.get("maxTokens"))) {
            (None, _) => {}
            (Some(_), Some(wanted)) if wanted.as_i64().is_some_and(|wanted| wanted <= i64::from(limit)) => {}
            (Some(_), Some(wanted)) => {
                let text = format!("is {wanted}; the alias {alias:?} allows at most {limit}");
                violations.add("inferenceConfig.maxTokens", text);
            }
            (Some(_), None) => {
                let text = format!("is not set, and the alias {alias:?} allows at most {limit}. Set it");
                violations.add("inferenceConfig.maxTokens", text);
            }
        }
        if body.get(FIELDS).and_then(Value::as_object).is_some_and(estimate::bounds_output) {
            let text = format!(
                "has a number of tokens or of answers, and the alias {alias:?} limits them. Set inferenceConfig.maxTokens instead"
            );
            violations.add(FIELDS, text);
        }
    }
}

/// A number as it was written: 0.1 and not 0.10000000149.
fn written(number: f32) -> Value {
    Value::from(number.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(number)))
}
