//! The features of each family's native format that this server translates. docs/native.md has the same table; a test compares the two.

use crate::request::native::family::Family;

/// A feature that some families lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Feature {
    System,
    TopP,
    StopSequences,
    Tools,
    Images,
    Documents,
    Reasoning,
    CachePoints,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FamilyFeatures {
    /// The family.
    pub family: Family,
    /// Its features.
    pub features: &'static [Feature],
    /// Where its usage comes from: `provider` or `metrics`.
    pub usage: &'static str,
}

use Feature::{CachePoints, Documents, Images, Reasoning, StopSequences, System, Tools, TopP};

const CHAT: &[Feature] = &[System, TopP, StopSequences, Tools];

/// The features of each family. Every family has `max_tokens` and `temperature`.
pub const FEATURES: [FamilyFeatures; 18] = [
    row(
        Family::Anthropic,
        &[System, TopP, StopSequences, Tools, Images, Documents, Reasoning, CachePoints],
        "provider",
    ),
    row(Family::AnthropicText, &[System, TopP, StopSequences], "metrics"),
    row(Family::Nova, &[System, TopP, StopSequences, Tools, Images, Documents, CachePoints], "provider"),
    row(Family::Titan, &[TopP, StopSequences], "provider"),
    row(Family::CohereCommand, &[TopP, StopSequences], "metrics"),
    row(Family::CohereCommandR, &[System, TopP, StopSequences], "provider"),
    row(Family::Llama2, &[System, TopP], "provider"),
    row(Family::Llama3, &[System, TopP], "provider"),
    row(Family::Llama4, &[System, TopP], "provider"),
    row(Family::Mistral, &[System, TopP, StopSequences], "metrics"),
    row(Family::MistralChat, CHAT, "provider"),
    row(Family::Jamba, CHAT, "provider"),
    row(Family::Jurassic2, &[TopP, StopSequences], "metrics"),
    row(Family::DeepSeekR1, &[System, TopP, StopSequences], "metrics"),
    row(Family::DeepSeek, CHAT, "provider"),
    row(Family::OpenAi, CHAT, "provider"),
    row(Family::Qwen, CHAT, "provider"),
    row(Family::Writer, CHAT, "provider"),
];

const fn row(family: Family, features: &'static [Feature], usage: &'static str) -> FamilyFeatures {
    FamilyFeatures { family, features, usage }
}

pub(in super::super) fn can(family: Family, feature: Feature) -> bool {
    FEATURES.iter().any(|row| row.family == family && row.features.contains(&feature))
}
