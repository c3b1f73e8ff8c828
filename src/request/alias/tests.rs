//! Tests of aliases.

use super::*;
use crate::{
    failover::routes::{Routes, Target},
    json,
    proto::OperationChoice,
    request::{Rules, check, check_count},
};

fn alias() -> Alias {
    Alias {
        system: "Be brief.".to_owned(),
        inference: InferenceConfiguration {
            max_tokens: Some(100),
            temperature: Some(0.5),
            top_p: None,
            stop_sequences: vec!["END".to_owned()],
        },
        additional_fields: json::parse_object(r#"{"top_k": 5, "thinking": {"type": "disabled"}}"#).unwrap(),
        guardrail: Some(GuardrailStreamConfiguration {
            guardrail_identifier: "abc123".to_owned(),
            guardrail_version: "7".to_owned(),
            ..GuardrailStreamConfiguration::default()
        }),
        latency: "optimized".to_owned(),
        service_tier: "flex".to_owned(),
        max_tokens_limit: Some(200),
        ..Alias::default()
    }
}

fn rules(alias: Alias, target: &str) -> Rules {
    let routes = Routes::parse(&[format!("support={target}")], 3).unwrap();
    Rules { routes, aliases: [("support".to_owned(), alias)].into(), ..Rules::default() }
}

/// A request to the alias, as it goes to Bedrock.
fn sent(request: GenerateRequest) -> GenerateRequest {
    let request = GenerateRequest { model: "support".to_owned(), prompt: "hi".to_owned(), ..request };
    check(request, &rules(alias(), "a.model")).unwrap().0.request.into_inner()
}

/// The fields and descriptions of the violations of a request to the alias.
fn violations(request: GenerateRequest, rules: &Rules) -> Vec<(String, String)> {
    let error = check(GenerateRequest { model: "support".to_owned(), ..request }, rules).unwrap_err();
    error.violations().iter().map(|one| (one.field.clone(), one.description.clone())).collect()
}

fn prompt(prompt: &str) -> GenerateRequest {
    GenerateRequest { prompt: prompt.to_owned(), ..GenerateRequest::default() }
}

#[test]
fn a_request_that_says_nothing_gets_every_default() {
    let sent = sent(GenerateRequest::default());
    let Alias { system, inference, additional_fields, guardrail, latency, service_tier, .. } = alias();
    assert_eq!(sent.system, [SystemContentBlock { block: Some(Block::Text(system)) }]);
    assert_eq!(sent.inference_config, Some(inference));
    assert_eq!(sent.additional_model_request_fields, Some(additional_fields));
    assert_eq!(sent.guardrail_config, guardrail);
    assert_eq!(sent.performance_config, Some(PerformanceConfiguration { latency }));
    assert_eq!((sent.service_tier, sent.model.as_str()), (Some(ServiceTier { r#type: service_tier }), "a.model"));
}

#[test]
fn what_a_request_says_stays_field_by_field() {
    let own = InferenceConfiguration { max_tokens: Some(7), ..InferenceConfiguration::default() };
    let guardrail = GuardrailStreamConfiguration {
        guardrail_identifier: "mine".to_owned(),
        guardrail_version: "1".to_owned(),
        ..GuardrailStreamConfiguration::default()
    };
    let system = vec![SystemContentBlock { block: Some(Block::Text("Be long.".to_owned())) }];
    let sent = sent(GenerateRequest {
        system: system.clone(),
        inference_config: Some(own),
        additional_model_request_fields: Some(json::parse_object(r#"{"top_k": 1, "other": true}"#).unwrap()),
        guardrail_config: Some(guardrail.clone()),
        performance_config: Some(PerformanceConfiguration { latency: "standard".to_owned() }),
        service_tier: Some(ServiceTier { r#type: "priority".to_owned() }),
        ..GenerateRequest::default()
    });
    assert_eq!((sent.system, sent.guardrail_config), (system, Some(guardrail)));
    let expected = InferenceConfiguration { max_tokens: Some(7), ..alias().inference };
    assert_eq!(sent.inference_config, Some(expected));
    let additional = json::from_struct(&sent.additional_model_request_fields.unwrap());
    let expected = serde_json::json!({"top_k": 1, "other": true, "thinking": {"type": "disabled"}});
    assert_eq!(serde_json::Value::Object(additional), expected);
    assert_eq!(sent.performance_config.unwrap().latency, "standard");
    assert_eq!(sent.service_tier.unwrap().r#type, "priority");
}

#[test]
fn a_request_with_one_of_temperature_and_top_p_gets_neither() {
    let own = InferenceConfiguration { top_p: Some(0.9), ..InferenceConfiguration::default() };
    let sent = sent(GenerateRequest { inference_config: Some(own), ..GenerateRequest::default() });
    let config = sent.inference_config.unwrap();
    assert_eq!((config.temperature, config.top_p), (None, Some(0.9)));
}

#[test]
fn a_guardrail_config_without_a_guardrail_does_not_turn_the_default_off() {
    let own = GuardrailStreamConfiguration { trace: "enabled".to_owned(), ..GuardrailStreamConfiguration::default() };
    let sent = sent(GenerateRequest { guardrail_config: Some(own), ..GenerateRequest::default() });
    let config = sent.guardrail_config.unwrap();
    assert_eq!((config.guardrail_identifier.as_str(), config.trace.as_str()), ("abc123", "enabled"));
}

#[test]
fn a_limit_holds_wherever_a_request_says_a_number_of_tokens() {
    let rules = rules(alias(), "a.model");
    let more = InferenceConfiguration { max_tokens: Some(201), ..InferenceConfiguration::default() };
    let request = GenerateRequest { inference_config: Some(more), ..prompt("hi") };
    let said = "is 201; the alias \"support\" allows at most 200".to_owned();
    assert_eq!(violations(request, &rules), [("inference_config.max_tokens".to_owned(), said)]);
    for fields in [r#"{"max_tokens": 5}"#, r#"{"n": 2}"#, r#"{"inferenceConfig": {"maxTokens": "9"}}"#] {
        let fields = Some(json::parse_object(fields).unwrap());
        let found = violations(GenerateRequest { additional_model_request_fields: fields, ..prompt("hi") }, &rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "additional_model_request_fields");
    }
    let body = GenerateRequest { native_body: "{}".to_owned(), ..GenerateRequest::default() };
    let found = violations(body, &rules);
    assert!(
        found.iter().any(|(field, text)| field == "native_body" && text.contains("limits the tokens")),
        "{found:?}"
    );
}

#[test]
fn a_limit_alone_is_the_number_of_a_request_that_says_none() {
    let rules = rules(Alias { max_tokens_limit: Some(9), ..Alias::default() }, "a.model");
    let request = GenerateRequest { model: "support".to_owned(), ..prompt("hi") };
    let config = check(request, &rules).unwrap().0.request.into_inner().inference_config;
    assert_eq!(config, Some(InferenceConfiguration { max_tokens: Some(9), ..InferenceConfiguration::default() }));
}

#[test]
fn without_a_limit_a_native_body_stays_as_it_is_and_gets_what_stands_beside_it() {
    let rules = rules(Alias { max_tokens_limit: None, ..alias() }, "amazon.nova-lite-v1:0");
    let body = GenerateRequest { model: "support".to_owned(), native_body: "{}".to_owned(), ..Default::default() };
    let sent = check(body, &rules).unwrap().0.request.into_inner();
    assert!(sent.system.is_empty() && sent.inference_config.is_none());
    assert!(sent.additional_model_request_fields.is_none());
    assert_eq!(sent.guardrail_config.unwrap().guardrail_identifier, "abc123");
    assert_eq!(sent.service_tier.unwrap().r#type, "flex");
}

#[test]
fn a_violation_of_a_default_says_that_it_is_one() {
    let rules = rules(alias(), "amazon.titan-text-lite-v1");
    let native = GenerateRequest { operation: OperationChoice::Native.into(), ..prompt("hi") };
    let found = violations(native, &rules);
    let (_, text) = found.iter().find(|(field, _)| field == "system").unwrap();
    assert!(text.contains("not supported in the native format of titan"), "{text}");
    assert!(text.contains("a default of the alias \"support\""), "{text}");
}

#[test]
fn tokens_are_counted_with_the_system_prompt_of_the_alias() {
    let request = CountTokensRequest { model: "support".to_owned(), prompt: "hi".to_owned(), ..Default::default() };
    let counted = check_count(request, &rules(alias(), "a.model")).unwrap().request.into_inner();
    assert_eq!(counted.system, [SystemContentBlock { block: Some(Block::Text("Be brief.".to_owned())) }]);
    assert!(counted.additional_model_request_fields.unwrap().fields.contains_key("top_k"));
}

#[test]
fn defaults_that_can_never_be_served_are_found_before_a_request_names_them() {
    assert_eq!(alias().problems(&[Target::here("a.model")]), []);
    let keys = |alias: &Alias, model: &str| -> Vec<_> {
        alias.problems(&[Target::here(model)]).into_iter().map(|problem| problem.key).collect()
    };
    let inference = InferenceConfiguration {
        max_tokens: Some(201),
        temperature: Some(2.0),
        top_p: Some(-1.0),
        stop_sequences: vec![String::new()],
    };
    let wrong = Alias { inference, ..alias() };
    assert_eq!(keys(&wrong, "a.model"), ["max_tokens", "temperature", "top_p", "stop_sequences"]);
    // The family has no other operation than the native one, whose format has no system prompt.
    assert_eq!(keys(&alias(), "ai21.j2-mid-v1"), ["system"]);
    let of_prompt = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1";
    let expected = ["max_tokens", "temperature", "stop_sequences", "system", "additional_model_request_fields"];
    assert_eq!(keys(&alias(), of_prompt), expected);
    let twice = Alias { additional_fields: json::parse_object(r#"{"max_tokens": 5}"#).unwrap(), ..alias() };
    assert_eq!(keys(&twice, "a.model"), ["additional_model_request_fields"]);
}
