//! The models and inference profiles that the listings have by default: all scripts and recordings, and ids of each family of models. The
//! emulator answers other ids too.

use serde_json::{Value, json};

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

/// The families of which there are inference profiles of the US.
const PROFILED: [&str; 3] = ["Amazon", "Anthropic", "Meta"];

/// All models, in the form of Bedrock's summaries. These are the names of the scripts and recordings.
pub(crate) fn models(names: &[String]) -> Vec<Value> {
    let own = names.iter().map(|id| summary("Emulator", id));
    own.chain(MODELS.iter().map(|(provider, id)| summary(provider, id))).collect()
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
    json!({
        "modelArn": arn(id), "modelName": id, "modelId": id, "providerName": provider, "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"], "responseStreamingSupported": true, "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"], "modelLifecycle": {"status": "ACTIVE"},
    })
}

fn profile(provider: &str, id: &str) -> Value {
    let own = format!("us.{id}");
    json!({
        "inferenceProfileName": format!("US {provider} {id}"), "inferenceProfileId": own, "status": "ACTIVE",
        "inferenceProfileArn": format!("arn:aws:bedrock:us-east-1:000000000000:inference-profile/{own}"),
        "type": "SYSTEM_DEFINED", "models": [{"modelArn": arn(id)}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{Catalogue, Entry},
        native::Format,
    };

    #[test]
    fn what_is_listed_is_answered_and_has_a_format() {
        let catalogue = Catalogue::new();
        let names = catalogue.names();
        for model in models(&names) {
            let id = model["modelId"].as_str().unwrap();
            assert!(!matches!(catalogue.entry(id), Entry::Unknown(_) | Entry::Malformed), "{id}");
            let body = json!({"messages": [], "anthropic_version": ""});
            assert!(Format::of(id, &body).is_some(), "{id}");
        }
        for profile in profiles() {
            assert_eq!(catalogue.entry(profile["inferenceProfileId"].as_str().unwrap()), Entry::Model);
        }
    }
}
