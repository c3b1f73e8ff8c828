//! The limits of an answer that a request sets, in whatever member its operation or family has them.

use serde_json::Value;

/// Where bodies have the maximum of output tokens.
const MAX_TOKENS: [&str; 8] = [
    "/inferenceConfig/maxTokens",
    "/inferenceConfig/max_new_tokens",
    "/textGenerationConfig/maxTokenCount",
    "/max_tokens",
    "/max_completion_tokens",
    "/max_tokens_to_sample",
    "/max_gen_len",
    "/maxTokens",
];

/// The maximum of output tokens.
pub(crate) fn max_tokens(body: &Value) -> Option<u64> {
    MAX_TOKENS.iter().find_map(|place| body.pointer(place)?.as_u64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_format_has_its_maximum_of_output_tokens() {
        let bodies = [
            json!({"inferenceConfig": {"maxTokens": 7}}),
            json!({"inferenceConfig": {"max_new_tokens": 7}}),
            json!({"textGenerationConfig": {"maxTokenCount": 7}}),
            json!({"max_tokens": 7}),
            json!({"max_completion_tokens": 7}),
            json!({"max_tokens_to_sample": 7}),
            json!({"max_gen_len": 7}),
            json!({"maxTokens": 7}),
        ];
        assert_eq!(bodies.len(), MAX_TOKENS.len());
        for body in bodies {
            assert_eq!(max_tokens(&body), Some(7), "{body}");
        }
        assert_eq!(max_tokens(&json!({"messages": [{"max_tokens": 7}], "max_tokens": "many"})), None);
    }
}
