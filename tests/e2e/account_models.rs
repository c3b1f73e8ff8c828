//! The models of the AWS account: ListModels and `outcrop check` ask the control plane with the real SDK.

use bedrock_emulator::{Config, Emulator, Refusal};
use outcrop::failover::routes::Routes;
use outcrop_client::proto::{
    ListModelsRequest, ListModelsResponse, Model, ModelKind, generation_service_client::GenerationServiceClient,
};
use serde_json::{Value, json};

use crate::{
    harness::Harness,
    process::{outcrop, run},
    tenants::Tenants,
};

fn model(id: &str, inference: &str) -> Value {
    json!({
        "modelArn": format!("arn:aws:bedrock:us-east-1::foundation-model/{id}"), "modelId": id, "modelName": "Lite",
        "providerName": "Acme", "inputModalities": ["TEXT", "IMAGE"], "outputModalities": ["TEXT"],
        "responseStreamingSupported": true, "inferenceTypesSupported": [inference],
    })
}

fn profile(id: &str) -> Value {
    let of = |region: &str| json!({"modelArn": format!("arn:aws:bedrock:{region}::foundation-model/acme.new-v1:0")});
    json!({
        "inferenceProfileName": "US Lite", "inferenceProfileId": id, "status": "ACTIVE", "type": "SYSTEM_DEFINED",
        "inferenceProfileArn": format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{id}"),
        "models": [of("us-east-1"), of("us-west-2")],
    })
}

/// Two models and three inference profiles, of which a page has one.
fn fill(emulator: &Emulator) {
    let models = vec![model("acme.lite-v1:0", "ON_DEMAND"), model("acme.new-v1:0", "INFERENCE_PROFILE")];
    let profiles = ["a.acme.new-v1:0", "b.acme.new-v1:0", "us.acme.new-v1:0"].map(profile).into();
    emulator.set_account(models, profiles, 1);
}

fn refusal(status: u16, exception: &str) -> Refusal {
    let message = format!("User: arn:aws:sts::123456789012:assumed-role/outcrop is refused ({exception})");
    Refusal { status, exception: Some(exception.to_owned()), body: None, message }
}

async fn start() -> Harness {
    let harness = Harness::with(|settings| {
        settings.list_account_models = true;
        settings.rules.default_model = Some("acme.lite-v1:0".to_owned());
        settings.rules.routes = Routes::parse(&["fast=acme.lite-v1:0".to_owned()], 3).unwrap();
    })
    .await;
    fill(&harness.emulator);
    harness
}

async fn list(harness: &Harness) -> ListModelsResponse {
    let mut client = GenerationServiceClient::connect(harness.endpoint.clone()).await.unwrap();
    client.list_models(ListModelsRequest::default()).await.unwrap().into_inner()
}

fn names(listed: &ListModelsResponse) -> Vec<&str> {
    listed.models.iter().map(|model| model.name.as_str()).collect()
}

const ALL: [&str; 5] = ["acme.lite-v1:0", "fast", "a.acme.new-v1:0", "b.acme.new-v1:0", "us.acme.new-v1:0"];

#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_account_are_listed_page_by_page_after_those_of_the_configuration_and_once_for_many_calls() {
    let harness = start().await;
    let asked = (0..20).map(|_| list(&harness));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|listed| names(listed) == ALL), "{answers:?}");
    let listed = &answers[0];
    assert_eq!(harness.emulator.listings(), 4, "the models, and three pages");
    let Model { is_default, description, input_modalities, streaming, regions, .. } = &listed.models[0];
    assert!(*is_default && description == "Acme Lite" && *streaming == Some(true), "{:?}", listed.models[0]);
    assert_eq!((input_modalities.join(" "), regions.join(" ")), ("TEXT IMAGE".to_owned(), "us-east-1".to_owned()));
    assert_eq!(listed.models[1].kind(), ModelKind::Route);
    assert_eq!(listed.models[4].kind(), ModelKind::InferenceProfile);
    assert_eq!(listed.models[4].regions, ["us-east-1", "us-west-2"]);
    assert_eq!(listed.account_problem, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_is_retried_and_a_refusal_leaves_the_models_of_the_configuration_and_says_why() {
    let harness = start().await;
    harness.emulator.refuse_listings((0..2).map(|_| refusal(429, "ThrottlingException")));
    assert_eq!(names(&list(&harness).await), ALL);
    let harness = start().await;
    harness.emulator.refuse_listings((0..2).map(|_| refusal(403, "AccessDeniedException")));
    let listed = list(&harness).await;
    assert_eq!(names(&listed), ["acme.lite-v1:0", "fast"]);
    assert!(listed.account_problem.contains("BEDROCK_ACCESS_DENIED"), "{}", listed.account_problem);
    assert!(!listed.account_problem.contains("123456789012"), "{}", listed.account_problem);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_only_the_models_of_the_account_that_it_may_use() {
    let tenants = Tenants::start(|ada, settings| {
        settings.list_account_models = true;
        ada.settings.permissions.models = Some(vec!["us.*".to_owned()]);
    })
    .await;
    fill(&tenants.harness.emulator);
    let listed: ListModelsResponse = tenants.answer(&tenants.ada, "ListModels", &()).await;
    assert_eq!(names(&listed), ["us.acme.new-v1:0"]);
    let elsewhere = Tenants::start(|ada, settings| {
        settings.list_account_models = true;
        ada.settings.permissions.regions = Some(["eu-west-1".to_owned()].into());
    })
    .await;
    fill(&elsewhere.harness.emulator);
    let listed: ListModelsResponse = elsewhere.answer(&elsewhere.ada, "ListModels", &()).await;
    assert_eq!(names(&listed), ["emulator.default"], "the models of a region in which it may use none");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_nothing_is_asked() {
    let harness = Harness::start().await;
    assert_eq!(names(&list(&harness).await), ["emulator.default"]);
    assert_eq!(harness.emulator.listings(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_models_that_their_region_does_not_have() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    fill(&emulator);
    let check = async |routes: &[&str]| {
        let mut command = outcrop(&["check"]);
        command.env("AWS_REGION", "us-east-1").env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_ENDPOINT_URL_BEDROCK", emulator.endpoint());
        command.args(routes.iter().map(|route| format!("--route={route}")));
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    };
    let (out, err, code) = check(&["a=acme.lite-v1:0,us.acme.new-v1:0@us-west-2"]).await;
    assert!(out.starts_with("ok\n") && err.is_empty() && code == Some(0), "{out}{err}");
    let (_, err, code) = check(&["a=acme.lite-v2:0", "b=acme.new-v1:0"]).await;
    assert!(err.contains("the route a names acme.lite-v2:0, which us-east-1 does not have"), "{err}");
    let by_profile = "the route b names acme.new-v1:0, which us-east-1 has only by an inference profile. Name one: a.acme.new-v1:0, b.acme.new-v1:0, us.acme.new-v1:0";
    assert!(err.contains(by_profile) && code == Some(1), "{err}");
    emulator.refuse_listings((0..2).map(|_| refusal(403, "AccessDeniedException")));
    let (out, err, code) = check(&["a=acme.lite-v2:0"]).await;
    assert!(err.contains("the models in us-east-1 cannot be checked") && out.starts_with("ok\n"), "{out}{err}");
    assert_eq!(code, Some(0), "what cannot be asked is no error");
}
