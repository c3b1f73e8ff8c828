//! Aliases: names of the operator with defaults, which every method knows.

use outcrop::{
    failover::routes::Routes,
    identity::settings::{GuardrailSettings, ImposedSettings},
    request::alias::Alias,
};
use outcrop_client::proto::{
    CountTokensRequest, CreateConversationRequest, GenerateRequest, GuardrailStreamConfiguration,
    InferenceConfiguration, ListModelsResponse, ModelKind,
};
use serde_json::{Value, json};

use crate::{
    harness::{Harness, request, start_of},
    tenants::Tenants,
};

/// With the alias `support` for this model, which is also the default model.
async fn start(model: &str) -> Harness {
    let route = format!("support={model}");
    Harness::with(|settings| {
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        settings.rules.aliases.insert("support".to_owned(), alias());
        settings.rules.default_model = Some("support".to_owned());
    })
    .await
}

fn alias() -> Alias {
    Alias {
        description: "Answers of the help desk".to_owned(),
        system: "Be brief.".to_owned(),
        inference: InferenceConfiguration { max_tokens: Some(7), ..InferenceConfiguration::default() },
        guardrail: Some(GuardrailStreamConfiguration {
            guardrail_identifier: "abc123".to_owned(),
            guardrail_version: "1".to_owned(),
            ..GuardrailStreamConfiguration::default()
        }),
        service_tier: "flex".to_owned(),
        max_tokens_limit: Some(9),
        ..Alias::default()
    }
}

/// The body of the last request to Bedrock.
fn body(harness: &Harness) -> Value {
    harness.emulator.last_request().unwrap().body
}

#[tokio::test]
async fn bedrock_gets_the_defaults_of_an_alias_and_the_answer_names_its_model() {
    let harness = start("emulator.default").await;
    for name in ["support", ""] {
        let chunks = harness.ask(request(name)).await.whole();
        assert_eq!(start_of(&chunks).model_id, "emulator.default");
        let body = body(&harness);
        assert_eq!(body["system"], json!([{"text": "Be brief."}]), "{name:?}");
        assert_eq!(body["inferenceConfig"], json!({"maxTokens": 7}));
        assert_eq!(body["guardrailConfig"]["guardrailIdentifier"], "abc123");
        assert_eq!(body["serviceTier"], json!({"type": "flex"}));
    }
    let counting = CountTokensRequest { prompt: "hi".to_owned(), ..CountTokensRequest::default() };
    harness.client.count_tokens(counting).await.unwrap();
    assert_eq!(body(&harness)["input"]["converse"]["system"], json!([{"text": "Be brief."}]));
}

#[tokio::test]
async fn a_request_beyond_the_limit_of_an_alias_is_refused_with_both_numbers_before_bedrock_is_called() {
    let harness = start("emulator.default").await;
    let config = InferenceConfiguration { max_tokens: Some(10), ..InferenceConfiguration::default() };
    let (_, error) =
        harness.ask(GenerateRequest { inference_config: Some(config), ..request("support") }).await.failed();
    assert_eq!(error.reason, "INVALID_REQUEST");
    assert!(error.message.contains("is 10; the alias \"support\" allows at most 9"), "{}", error.message);
    assert_eq!(harness.emulator.stats().requests, 0);
}

#[tokio::test]
async fn a_conversation_keeps_its_alias_and_its_own_system_prompt() {
    let harness = start("emulator.default").await;
    for (system, expected) in [(None, "Be brief."), (Some("Be polite."), "Be polite.")] {
        let text = |text: &str| {
            outcrop_client::json::read("outcrop.v1.SystemContentBlock", &json!({"text": text}).to_string()).unwrap()
        };
        let create = CreateConversationRequest {
            model: "support".to_owned(),
            system: system.map(text).into_iter().collect(),
            ..CreateConversationRequest::default()
        };
        let id = harness.client.create_conversation(create).await.unwrap().conversation_id;
        for _ in 0..2 {
            harness.ask(GenerateRequest { conversation_id: id.clone(), ..request("") }).await.whole();
            assert_eq!(body(&harness)["system"], json!([{"text": expected}]));
            assert_eq!(body(&harness)["inferenceConfig"], json!({"maxTokens": 7}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guardrail_of_a_caller_is_stronger_than_that_of_an_alias_and_permissions_name_aliases() {
    let tenants = Tenants::start(|ada, settings| {
        settings.rules.routes = Routes::parse(&["support=emulator.default".to_owned()], 3).unwrap();
        settings.rules.aliases.insert("support".to_owned(), alias());
        ada.settings.permissions.models = Some(vec!["support".to_owned()]);
        let guardrail = GuardrailSettings { identifier: "imposed".to_owned(), version: "2".to_owned() };
        ada.settings.imposed = ImposedSettings { guardrail: Some(guardrail), ..ImposedSettings::default() };
    })
    .await;
    let (ada, bob) = (&tenants.ada, &tenants.bob);
    for (caller, guardrail) in [(ada, "imposed"), (bob, "abc123")] {
        assert_eq!(tenants.call(caller, "Generate", &request("support")).await.reason(), "");
        assert_eq!(body(&tenants.harness)["guardrailConfig"]["guardrailIdentifier"], guardrail);
    }
    assert_eq!(tenants.call(ada, "Generate", &request("emulator.default")).await.reason(), "PERMISSION_DENIED");
    let listed: ListModelsResponse = tenants.answer(ada, "ListModels", &()).await;
    let [support] = &listed.models[..] else { panic!("{listed:?}") };
    assert_eq!((support.name.as_str(), support.kind()), ("support", ModelKind::Route));
    assert_eq!((support.description.as_str(), support.max_tokens), ("Answers of the help desk", Some(9)));
}
