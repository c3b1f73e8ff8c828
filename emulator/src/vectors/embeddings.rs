//! The embeddings of Titan and Cohere.

use serde_json::{Map, Value, json};

use super::{Kind, malformed, tokens, vector};
use crate::script::Refusal;

/// The most texts of a request to Cohere.
const MOST_TEXTS: usize = 96;

/// The answer and the number of input tokens.
pub(super) fn answer(kind: Kind, body: &Value) -> Result<(Value, usize), Refusal> {
    match kind {
        Kind::Cohere | Kind::CohereV4 => cohere(kind, body),
        _ => titan(kind, body),
    }
}

/// The number in this member, which must be one of these. The first is the default.
fn dimensions(body: &Value, place: &str, allowed: &[usize]) -> Result<usize, Refusal> {
    match body.pointer(place) {
        None | Some(Value::Null) => Ok(allowed[0]),
        Some(given) => {
            let found = given.as_u64().and_then(|given| allowed.iter().find(|one| **one as u64 == given));
            found.copied().ok_or_else(|| malformed(&format!("#{place}: {given} is not a valid enum value")))
        }
    }
}

fn titan(kind: Kind, body: &Value) -> Result<(Value, usize), Refusal> {
    let text = body["inputText"].as_str();
    let image = body["inputImage"].as_str().filter(|_| kind == Kind::TitanImage);
    let Some(content) = text.or(image).filter(|content| !content.is_empty()) else {
        return Err(malformed("#: required key [inputText] not found"));
    };
    let dimensions = match kind {
        Kind::TitanTextV2 => dimensions(body, "/dimensions", &[1_024, 512, 256])?,
        Kind::TitanImage => dimensions(body, "/embeddingConfig/outputEmbeddingLength", &[1_024, 384, 256])?,
        _ => 1_536,
    };
    // A text and an image have one vector.
    let mut values = vector(&[content, image.unwrap_or_default()].join(" "), dimensions);
    if kind == Kind::TitanText || body["normalize"] == false {
        for value in &mut values {
            *value *= 8.0;
        }
    }
    let tokens = text.map_or(0, tokens);
    let mut answer = json!({"embedding": values, "inputTextTokenCount": tokens});
    if kind == Kind::TitanTextV2 {
        let types = types(body, "embeddingTypes", &["float", "binary"])?;
        let types = if types.is_empty() { vec!["float".to_owned()] } else { types };
        let one = |name: &String| {
            let bits = || values.iter().map(|value| u8::from(*value > 0.0)).collect::<Vec<_>>();
            (name.clone(), if name == "binary" { json!(bits()) } else { json!(values) })
        };
        answer["embeddingsByType"] = Value::Object(types.iter().map(one).collect());
    }
    Ok((answer, tokens))
}

fn cohere(kind: Kind, body: &Value) -> Result<(Value, usize), Refusal> {
    let texts: Vec<&str> = body["texts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let images: Vec<&str> = body["images"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if texts.is_empty() && images.is_empty() {
        return Err(malformed("#: required key [texts] not found"));
    }
    if texts.len() > MOST_TEXTS {
        return Err(malformed(&format!("#/texts: expected maximum item count: {MOST_TEXTS}, found: {}", texts.len())));
    }
    if body["input_type"].as_str().is_none() {
        return Err(malformed("#: required key [input_type] not found"));
    }
    let dimensions = match kind {
        Kind::CohereV4 => dimensions(body, "/output_dimension", &[1_536, 1_024, 512, 256])?,
        _ => 1_024,
    };
    let vectors: Vec<_> = texts.iter().chain(&images).map(|text| vector(text, dimensions)).collect();
    let types = types(body, "embedding_types", &["float", "int8", "uint8", "binary", "ubinary"])?;
    let (response_type, embeddings) = if types.is_empty() {
        ("embeddings_floats", json!(vectors))
    } else {
        let one = |name: &String| {
            let all = vectors.iter().map(|vector| typed(name, vector)).collect();
            (name.clone(), Value::Array(all))
        };
        ("embeddings_by_type", Value::Object(types.iter().map(one).collect::<Map<_, _>>()))
    };
    let answer = json!({"id": "emulated", "response_type": response_type, "embeddings": embeddings, "texts": texts});
    Ok((answer, texts.iter().map(|text| tokens(text)).sum()))
}

/// The types that a body asks for.
fn types(body: &Value, name: &str, allowed: &[&str]) -> Result<Vec<String>, Refusal> {
    let asked: Vec<String> =
        body[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    match asked.iter().find(|one| !allowed.contains(&one.as_str())) {
        Some(one) => Err(malformed(&format!("#/{name}: {one} is not a valid enum value"))),
        None => Ok(asked),
    }
}

/// A vector in a type of Cohere. Binary types have the signs of eight values in one.
fn typed(name: &str, vector: &[f64]) -> Value {
    let byte = |value: f64| (value * 127.0).round().clamp(-128.0, 127.0);
    let bits =
        || vector.chunks(8).map(|eight| eight.iter().fold(0_u8, |byte, value| byte << 1 | u8::from(*value > 0.0)));
    #[expect(clippy::cast_possible_truncation, reason = "the value is that of a byte")]
    match name {
        "int8" => vector.iter().map(|value| byte(*value) as i64).collect(),
        "uint8" => vector.iter().map(|value| byte(*value) as i64 + 128).collect(),
        "ubinary" => bits().map(i64::from).collect(),
        "binary" => bits().map(|bits| i64::from(bits) - 128).collect(),
        _ => json!(vector),
    }
}
