//! Models whose answer is no text: embeddings and rerankings of InvokeModel, and Rerank of the agent runtime.
//!
//! A text becomes the sum of a vector for each of its words, which depends on the word alone. Texts with common words are therefore near to each
//! other, and the same text always has the same vector.

mod embeddings;
mod rerank;

use fastrand::Rng;
use serde_json::Value;

pub(crate) use self::rerank::rerank;
use crate::script::{Pace, Refusal, Script, Step, mixed};

/// What a model answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TitanText,
    TitanTextV2,
    TitanImage,
    Cohere,
    CohereV4,
    Rerank,
}

/// Parts of the ids of these models.
const IDS: [(&str, Kind); 8] = [
    ("amazon.titan-embed-text-v2", Kind::TitanTextV2),
    ("amazon.titan-embed-image", Kind::TitanImage),
    ("amazon.titan-embed", Kind::TitanText),
    ("amazon.titan-e1t", Kind::TitanText),
    ("cohere.embed-v4", Kind::CohereV4),
    ("cohere.embed", Kind::Cohere),
    ("amazon.rerank", Kind::Rerank),
    ("cohere.rerank", Kind::Rerank),
];

fn kind(model_id: &str) -> Option<Kind> {
    IDS.iter().find(|(part, _)| model_id.contains(part)).map(|(_, kind)| *kind)
}

/// Whether this model answers with vectors or scores.
pub(crate) fn is_one(model_id: &str) -> bool {
    kind(model_id).is_some()
}

/// The whole answer of such a model to InvokeModel.
///
/// # Errors
/// Bedrock's refusal of the body.
pub(crate) fn answer(model_id: &str, body: &Value, pace: Pace) -> Result<Script, Refusal> {
    let (answer, input_tokens) = match kind(model_id) {
        Some(Kind::Rerank) => rerank::answer(body)?,
        Some(kind) => embeddings::answer(kind, body)?,
        None => return Err(malformed("#: the model has no embeddings")),
    };
    let script = Script { pace, ..Script::of([Step::Bytes(answer.to_string().into_bytes())]) };
    Ok(script.header("x-amzn-bedrock-input-token-count", &input_tokens.to_string()))
}

/// Bedrock's refusal of a body that is not that of the model.
fn malformed(what: &str) -> Refusal {
    crate::answer::invalid(&format!("Malformed input request: {what}, please reformat your input and try again."))
}

/// The words of a text, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The vector of a text, of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dimensions];
    let mut add = |word: &str| {
        // FNV-1a.
        let hash = word
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        let mut random = Rng::with_seed(mixed(hash, dimensions as u64));
        for value in &mut sum {
            *value += random.f64() * 2.0 - 1.0;
        }
    };
    words(text).for_each(|word| add(&word));
    if words(text).next().is_none() {
        add(text);
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    // Eight digits, as few models have more.
    sum.into_iter().map(|value| (value / length * 1e8).round() / 1e8).collect()
}

/// How near two texts are, from 0 to 1.
fn nearness(one: &str, other: &str) -> f64 {
    let (one, other) = (vector(one, 256), vector(other, 256));
    let product: f64 = one.iter().zip(&other).map(|(a, b)| a * b).sum();
    (product.clamp(0.0, 1.0) * 1e6).round() / 1e6
}

/// An approximate number of tokens: one for each word.
fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests;
