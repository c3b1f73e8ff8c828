//! ApplyGuardrail: a text with `[emulator.block]` is blocked, and any other passes.

use axum::{extract::Path, response::Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{json_body, refuse};

/// What a text is blocked for.
const BLOCKED: &str = "[emulator.block]";

/// The text in place of a blocked one.
const INSTEAD: &str = "Sorry, the emulator's guardrail blocked this.";

/// The units of each policy that an assessment has.
const POLICIES: [&str; 7] = [
    "topicPolicyUnits",
    "contentPolicyUnits",
    "wordPolicyUnits",
    "sensitiveInformationPolicyUnits",
    "sensitiveInformationPolicyFreeUnits",
    "contextualGroundingPolicyUnits",
    "contentPolicyImageUnits",
];

/// The characters of a unit of text.
const UNIT: usize = 1_000;

pub(crate) async fn apply(Path((_, version)): Path<(String, String)>, body: Bytes) -> Response {
    let invalid = |message: &str| refuse(400, "ValidationException", message);
    if version != "DRAFT" && version.parse::<u32>().is_err() {
        return invalid(&format!("The version of the guardrail is {version:?}, neither DRAFT nor a number."));
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return invalid("The request body is not JSON.") };
    if !["INPUT", "OUTPUT"].contains(&body["source"].as_str().unwrap_or_default()) {
        return invalid("The source must be INPUT or OUTPUT.");
    }
    let Some(content) = body["content"].as_array().filter(|content| !content.is_empty()) else {
        return invalid("The content is missing.");
    };
    let texts: Vec<&str> = content.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
    json_body(&assessed(&texts))
}

fn assessed(texts: &[&str]) -> Value {
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let units = characters.div_ceil(UNIT);
    let usage: Value = POLICIES
        .iter()
        .map(|name| (*name, if ["wordPolicyUnits", "contentPolicyUnits"].contains(name) { units } else { 0 }))
        .collect();
    let coverage = json!({"textCharacters": {"guarded": characters, "total": characters}});
    let is_blocked = texts.iter().any(|text| text.contains(BLOCKED));
    let word = json!({"match": BLOCKED, "action": "BLOCKED", "detected": true});
    let (action, reason, outputs, assessments) = if is_blocked {
        let words = json!([{"wordPolicy": {"customWords": [word], "managedWordLists": []}}]);
        ("GUARDRAIL_INTERVENED", "Guardrail blocked.", json!([{"text": INSTEAD}]), words)
    } else {
        ("NONE", "No action.", json!([]), json!([]))
    };
    json!({
        "action": action, "actionReason": reason, "outputs": outputs, "assessments": assessments, "usage": usage,
        "guardrailCoverage": coverage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::served::{Served, json_of};

    async fn applied(version: &str, body: Value) -> Value {
        let path = format!("/guardrail/gr-1/version/{version}/apply");
        let request = http::Request::post(path).body(body.to_string().into()).unwrap();
        json_of(Served::new().send(request).await).await
    }

    #[tokio::test]
    async fn a_mark_in_the_text_decides() {
        let body = |text: &str| json!({"source": "INPUT", "content": [{"text": {"text": text}}]});
        let passed = applied("1", body("hello")).await;
        assert_eq!((&passed["action"], &passed["outputs"]), (&json!("NONE"), &json!([])));
        assert_eq!(passed["guardrailCoverage"]["textCharacters"], json!({"guarded": 5, "total": 5}));
        let blocked = applied("DRAFT", body("hello [emulator.block]")).await;
        assert_eq!(
            (&blocked["action"], &blocked["outputs"][0]["text"]),
            (&json!("GUARDRAIL_INTERVENED"), &json!(INSTEAD))
        );
        assert_eq!(blocked["assessments"][0]["wordPolicy"]["customWords"][0]["match"], BLOCKED);
        assert_eq!(blocked["usage"]["wordPolicyUnits"], 1);
        for (version, body, expected) in [
            ("new", body("x"), "neither DRAFT nor a number"),
            ("1", json!({"content": [{}]}), "INPUT or OUTPUT"),
            ("1", json!({"source": "INPUT", "content": []}), "The content is missing"),
        ] {
            let message = applied(version, body).await["message"].clone();
            assert!(message.as_str().unwrap().contains(expected), "{message}");
        }
    }
}
