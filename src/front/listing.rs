//! The listings of the control plane: the names that a caller may use.

use serde_json::{Value, json};

use crate::proto::{Model, ModelKind};

/// ListFoundationModels: models, routes and aliases.
pub(super) fn models(models: &[Model], region: &str) -> Value {
    let of_kind = models.iter().filter(|model| model.kind() != ModelKind::InferenceProfile);
    let summaries = of_kind.map(|Model { name, input_modalities, output_modalities, streaming, .. }| {
        let or_text = |kinds: &[String]| if kinds.is_empty() { json!(["TEXT"]) } else { json!(kinds) };
        json!({
            "modelArn": arn(name, region, "foundation-model"),
            "modelId": name,
            "modelName": name,
            "inputModalities": or_text(input_modalities),
            "outputModalities": or_text(output_modalities),
            "responseStreamingSupported": streaming.unwrap_or(true),
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": { "status": "ACTIVE" },
        })
    });
    json!({ "modelSummaries": summaries.collect::<Vec<_>>() })
}

/// ListInferenceProfiles: those of the account.
pub(super) fn profiles(models: &[Model], region: &str) -> Value {
    let of_kind = models.iter().filter(|model| model.kind() == ModelKind::InferenceProfile);
    let summaries = of_kind.map(|Model { name, .. }| {
        json!({
            "inferenceProfileId": name,
            "inferenceProfileName": name,
            "inferenceProfileArn": arn(name, region, "inference-profile"),
            "models": [],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        })
    });
    json!({ "inferenceProfileSummaries": summaries.collect::<Vec<_>>() })
}

fn arn(name: &str, region: &str, kind: &str) -> String {
    if name.starts_with("arn:") { name.to_owned() } else { format!("arn:aws:bedrock:{region}::{kind}/{name}") }
}
