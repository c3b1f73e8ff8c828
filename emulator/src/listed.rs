//! The models and inference profiles that the listings have by default: all scripts and recordings, and ids of each family of models. The
//! emulator answers other ids too.

use serde_json::{Value, json};

use crate::names;

/// Models of each family, with their provider.
const MODELS: [(&str, &str); 24] = [
    ("AI21 Labs", "ai21.j2-ultra-v1"),
    ("AI21 Labs", "ai21.jamba-1-5-mini-v1:0"),
    ("Amazon", "amazon.nova-lite-v1:0"),
    ("Amazon", "amazon.nova-micro-v1:0"),
    ("Amazon", "amazon.nova-pro-v1:0"),
    ("Amazon", "amazon.titan-text-express-v1"),
    ("Amazon", "amazon.titan-text-lite-v1"),
    ("Anthropic", "anthropic.claude-3-haiku-20240307-v1:0"),
    ("Anthropic", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
    ("Anthropic", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("Anthropic", "anthropic.claude-instant-v1"),
    ("Anthropic", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("Anthropic", "anthropic.claude-v2"),
    ("Anthropic", "anthropic.claude-v2:1"),
    ("Cohere", "cohere.command-light-text-v14"),
    ("Cohere", "cohere.command-r-v1:0"),
    ("Cohere", "cohere.command-text-v14"),
    ("DeepSeek", "deepseek.r1-v1:0"),
    ("Meta", "meta.llama3-8b-instruct-v1:0"),
    ("Meta", "meta.llama4-scout-17b-instruct-v1:0"),
    ("Mistral AI", "mistral.mistral-7b-instruct-v0:2"),
    ("Mistral AI", "mistral.mistral-large-2407-v1:0"),
    ("OpenAI", "openai.gpt-oss-20b-1:0"),
    ("Qwen", "qwen.qwen3-32b-v1:0"),
];

/// Models whose answer is no text, with their provider and what they answer with.
const VECTORS: [(&str, &str, &str); 8] = [
    ("Amazon", "amazon.rerank-v1:0", "TEXT"),
    ("Amazon", "amazon.titan-embed-image-v1", "EMBEDDING"),
    ("Amazon", "amazon.titan-embed-text-v1", "EMBEDDING"),
    ("Amazon", "amazon.titan-embed-text-v2:0", "EMBEDDING"),
    ("Cohere", "cohere.embed-english-v3", "EMBEDDING"),
    ("Cohere", "cohere.embed-multilingual-v3", "EMBEDDING"),
    ("Cohere", "cohere.embed-v4:0", "EMBEDDING"),
    ("Cohere", "cohere.rerank-v3-5:0", "TEXT"),
];

/// The model behind an application inference profile, of which the emulator knows nothing.
const PROFILED_MODEL: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";

/// The geographies of inference profiles.
const GEOGRAPHIES: [&str; 8] = ["us.", "us-gov.", "eu.", "apac.", "au.", "ca.", "jp.", "global."];

/// The families of which there are inference profiles of the US.
const PROFILED: [&str; 3] = ["Amazon", "Anthropic", "Meta"];

/// All models, in the form of Bedrock's summaries. These are the names of the scripts and recordings.
pub(crate) fn models(names: &[String]) -> Vec<Value> {
    let own = names.iter().map(|id| summary("Emulator", id));
    let vectors = VECTORS.iter().map(|(provider, id, _)| summary(provider, id));
    own.chain(MODELS.iter().map(|(provider, id)| summary(provider, id))).chain(vectors).collect()
}

/// The model with this id, which need not be listed.
pub(crate) fn model(id: &str) -> Value {
    let known = MODELS.iter().find(|(_, known)| *known == id).map(|(provider, _)| (*provider).to_owned());
    let first = |name: &str| name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect();
    summary(&known.unwrap_or_else(|| first(id.split('.').next().unwrap_or_default())), id)
}

/// The inference profile with this id or ARN, which need not be listed. `None` if it is not that of a profile.
pub(crate) fn profile_of(id: &str) -> Option<Value> {
    let (kind, name) = match id.strip_prefix("arn:") {
        Some(arn) => arn.rsplit(':').next()?.split_once('/')?,
        None => ("inference-profile", id),
    };
    if kind == "application-inference-profile" || names::is_named(name) {
        let mut own = profile_named(name, PROFILED_MODEL);
        own["type"] = "APPLICATION".into();
        own["inferenceProfileArn"] = arn_of_profile("application-inference-profile", name).into();
        return Some(own);
    }
    let model = GEOGRAPHIES.iter().find_map(|geography| name.strip_prefix(geography))?;
    names::is_model(model).then(|| profile_named(name, model))
}

/// The inference profiles, in the form of Bedrock's summaries.
pub(crate) fn profiles() -> Vec<Value> {
    let profiled = MODELS.iter().filter(|(provider, id)| PROFILED.contains(provider) && id.contains(':'));
    profiled.map(|(provider, id)| profile(provider, id)).collect()
}

fn arn(id: &str) -> String {
    format!("arn:aws:bedrock:us-east-1::foundation-model/{id}")
}

fn summary(provider: &str, id: &str) -> Value {
    let vectors = VECTORS.iter().find(|(_, known, _)| *known == id);
    let output = vectors.map_or("TEXT", |(_, _, output)| output);
    json!({
        "modelArn": arn(id), "modelName": id, "modelId": id, "providerName": provider, "inputModalities": ["TEXT"],
        "outputModalities": [output], "responseStreamingSupported": vectors.is_none(), "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"], "modelLifecycle": {"status": "ACTIVE"},
    })
}

fn profile(provider: &str, id: &str) -> Value {
    let mut profile = profile_named(&format!("us.{id}"), id);
    profile["inferenceProfileName"] = format!("US {provider} {id}").into();
    profile
}

fn arn_of_profile(kind: &str, name: &str) -> String {
    format!("arn:aws:bedrock:us-east-1:000000000000:{kind}/{name}")
}

/// An inference profile of a model.
fn profile_named(name: &str, model: &str) -> Value {
    json!({
        "inferenceProfileName": name, "inferenceProfileId": name, "status": "ACTIVE",
        "inferenceProfileArn": arn_of_profile("inference-profile", name), "type": "SYSTEM_DEFINED",
        "models": [{"modelArn": arn(model)}], "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{Catalogue, Entry},
        native::Format,
        vectors,
    };

    #[test]
    fn what_is_listed_is_answered_and_has_a_format() {
        let catalogue = Catalogue::new();
        let names = catalogue.names();
        for model in models(&names) {
            let id = model["modelId"].as_str().unwrap();
            assert!(!matches!(catalogue.entry(id), Entry::Unknown(_) | Entry::Malformed), "{id}");
            let body = json!({"messages": [], "anthropic_version": ""});
            assert!(Format::of(id, &body).is_some() || vectors::is_one(id), "{id}");
        }
        for profile in profiles() {
            assert_eq!(catalogue.entry(profile["inferenceProfileId"].as_str().unwrap()), Entry::Model);
        }
    }
}
