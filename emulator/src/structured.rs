//! The JSON schema that a request asks its answer to have, wherever its format has it.

use serde_json::Value;

/// Where bodies have the schema of the answer: Converse, Anthropic by Converse, Anthropic, and chat completions.
const PLACES: [&str; 5] = [
    "/outputConfig/textFormat/structure/jsonSchema/schema",
    "/additionalModelRequestFields/output_config/format/schema",
    "/output_config/format/schema",
    "/output_format/schema",
    "/response_format/json_schema/schema",
];

/// The schema. Converse has it as a text.
///
/// # Errors
/// Bedrock's message if the text is not JSON.
pub(crate) fn schema(body: &Value) -> Result<Option<Value>, String> {
    match PLACES.iter().find_map(|place| body.pointer(place)) {
        Some(Value::String(text)) => {
            let parsed = serde_json::from_str(text);
            parsed.map(Some).map_err(|error| format!("The JSON schema of the output is invalid: {error}"))
        }
        found => Ok(found.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::served::{Served, json_of};

    fn wanted() -> Value {
        json!({"type": "object", "required": ["name", "tags"], "properties": {
            "name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        }})
    }

    #[test]
    fn each_format_has_its_schema() {
        let format = json!({"type": "json_schema", "schema": wanted()});
        for body in [
            json!({"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": wanted().to_string()}}}}}),
            json!({"additionalModelRequestFields": {"output_config": {"format": format}}}),
            json!({"output_config": {"format": format}}),
            json!({"output_format": format}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": wanted()}}}),
        ] {
            assert_eq!(schema(&body), Ok(Some(wanted())), "{body}");
        }
        assert_eq!(schema(&json!({"response_format": {"type": "text"}})), Ok(None));
        let broken = json!({"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}});
        assert!(schema(&broken).unwrap_err().contains("schema of the output is invalid"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_is_json_that_the_schema_accepts() {
        let text = wanted().to_string();
        let body = json!({
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": text}}}},
        });
        let answer = json_of(Served::new().operate("converse", "a.model", "", &body).await).await;
        let text = answer["output"]["message"]["content"][0]["text"].as_str().unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, json!({"name": "emulated", "tags": ["emulated"]}));
        // In pieces, for those who read it while it arrives.
        assert!(answer["usage"]["outputTokens"].as_u64().unwrap() > 5);
    }
}
