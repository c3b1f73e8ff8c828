//! The family of a model, by its id, its inference profile, its ARN, or the caller's `model_family`.

use crate::proto::GenerateRequest;

/// A family of models that share a native format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the families' own")]
pub enum Family {
    Anthropic,
    AnthropicText,
    Nova,
    Titan,
    CohereCommand,
    CohereCommandR,
    Llama2,
    Llama3,
    Llama4,
    Mistral,
    MistralChat,
    Jamba,
    Jurassic2,
    DeepSeekR1,
    DeepSeek,
    OpenAi,
    Qwen,
    Writer,
}

/// The name of each family, and a part of its models' ids. The first match counts.
const NAMES: [(&str, &[&str], Family); 18] = [
    (
        "anthropic-text",
        &["anthropic.claude-v2", "anthropic.claude-v1", "anthropic.claude-instant"],
        Family::AnthropicText,
    ),
    ("anthropic", &["anthropic."], Family::Anthropic),
    ("nova", &["amazon.nova"], Family::Nova),
    ("titan", &["amazon.titan-text", "amazon.titan-tg1"], Family::Titan),
    ("cohere-command-r", &["cohere.command-r"], Family::CohereCommandR),
    ("cohere-command", &["cohere.command"], Family::CohereCommand),
    ("llama2", &["meta.llama2"], Family::Llama2),
    ("llama4", &["meta.llama4"], Family::Llama4),
    ("llama3", &["meta.llama3"], Family::Llama3),
    (
        "mistral-chat",
        &[
            "mistral.mistral-large-2407",
            "mistral.pixtral",
            "mistral.ministral",
            "mistral.magistral",
            "mistral.mistral-large-3",
            "mistral.voxtral",
            "mistral.devstral",
        ],
        Family::MistralChat,
    ),
    ("mistral", &["mistral."], Family::Mistral),
    ("jamba", &["ai21.jamba"], Family::Jamba),
    ("jurassic2", &["ai21.j2"], Family::Jurassic2),
    ("deepseek-r1", &["deepseek.r1"], Family::DeepSeekR1),
    ("deepseek", &["deepseek."], Family::DeepSeek),
    ("openai", &["openai."], Family::OpenAi),
    ("qwen", &["qwen."], Family::Qwen),
    ("writer", &["writer."], Family::Writer),
];

impl Family {
    /// Every family.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(.., family)| *family)
    }

    /// The family of a request's model, or a description of what is wrong with `model_family`.
    pub(crate) fn of(request: &GenerateRequest) -> Result<Self, String> {
        if !request.model_family.is_empty() {
            let found = NAMES.iter().find(|(name, ..)| *name == request.model_family);
            return found.map(|(.., family)| *family).ok_or_else(|| {
                let names: Vec<_> = NAMES.iter().map(|(name, ..)| *name).collect();
                let given = &request.model_family;
                format!("is {given:?}; it must be one of {}", names.join(", "))
            });
        }
        let model = base_model(&request.model);
        let found = NAMES.iter().find(|(_, parts, _)| parts.iter().any(|part| model.starts_with(part)));
        found.map(|(.., family)| *family).ok_or_else(|| {
            let model = &request.model;
            format!("is not set, and {model:?} does not tell the model's family")
        })
    }

    /// The value of `model_family` for this family.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(.., family)| *family == self).map(|(name, ..)| *name).unwrap_or_default()
    }

    /// Whether the family supports ConverseStream, by AWS's table of supported models.
    pub fn has_converse_stream(self) -> bool {
        self != Self::Jurassic2
    }
}

/// The model id, taken out of an ARN, without the region prefix of an inference profile.
fn base_model(model: &str) -> &str {
    let id = if model.starts_with("arn:") {
        let resource = model.splitn(6, ':').nth(5).unwrap_or_default();
        match resource.split_once('/') {
            Some(("foundation-model" | "inference-profile", id)) => id,
            // Other ARNs end in an id that the account chose; it does not tell the family.
            _ => return "",
        }
    } else {
        model
    };
    // `us.`, `eu.`, `apac.`, `global.`, `us-gov.` and later ones: a first part that is not a provider is a region.
    match id.split_once('.') {
        Some((_, rest))
            if rest.contains('.')
                && NAMES.iter().any(|(_, parts, _)| parts.iter().any(|part| rest.starts_with(part))) =>
        {
            rest
        }
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(model: &str) -> Option<Family> {
        Family::of(&GenerateRequest { model: model.to_owned(), ..GenerateRequest::default() }).ok()
    }

    #[test]
    fn ids_profiles_and_arns_name_their_family() {
        let cases = [
            ("cohere.command-text-v14", Family::CohereCommand),
            ("cohere.command-light-text-v14", Family::CohereCommand),
            ("cohere.command-r-plus-v1:0", Family::CohereCommandR),
            ("anthropic.claude-v2:1", Family::AnthropicText),
            ("us.anthropic.claude-opus-4-6-v1", Family::Anthropic),
            ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Anthropic),
            ("us-gov.amazon.nova-lite-v1:0", Family::Nova),
            ("amazon.titan-tg1-large", Family::Titan),
            ("meta.llama2-13b-chat-v1", Family::Llama2),
            ("apac.meta.llama3-1-8b-instruct-v1:0", Family::Llama3),
            ("us.meta.llama4-scout-17b-instruct-v1:0", Family::Llama4),
            ("mistral.mistral-7b-instruct-v0:2", Family::Mistral),
            ("mistral.mistral-large-2407-v1:0", Family::MistralChat),
            ("us.mistral.pixtral-large-2502-v1:0", Family::MistralChat),
            ("ai21.jamba-1-5-mini-v1:0", Family::Jamba),
            ("ai21.j2-mid-v1", Family::Jurassic2),
            ("us.deepseek.r1-v1:0", Family::DeepSeekR1),
            ("deepseek.v3-v1:0", Family::DeepSeek),
            ("openai.gpt-oss-120b-1:0", Family::OpenAi),
            ("qwen.qwen3-32b-v1:0", Family::Qwen),
            ("us.writer.palmyra-x5-v1:0", Family::Writer),
            ("arn:aws:bedrock:us-east-1::foundation-model/cohere.command-text-v14", Family::CohereCommand),
            ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0", Family::Nova),
        ];
        for (model, expected) in cases {
            assert_eq!(family(model), Some(expected), "{model}");
        }
    }

    #[test]
    fn an_arn_that_names_nothing_needs_the_callers_word() {
        for kind in ["imported-model", "provisioned-model", "application-inference-profile", "custom-model-deployment"]
        {
            let model = format!("arn:aws:bedrock:us-east-1:123456789012:{kind}/abcdef123456");
            assert_eq!(family(&model), None, "{model}");
            let request = GenerateRequest { model, model_family: "llama3".into(), ..GenerateRequest::default() };
            assert_eq!(Family::of(&request).ok(), Some(Family::Llama3));
        }
        assert_eq!(family("acme.rocket-v1"), None);
        let request = GenerateRequest { model_family: "gpt".into(), ..GenerateRequest::default() };
        assert!(Family::of(&request).unwrap_err().contains("cohere-command"));
    }
}
