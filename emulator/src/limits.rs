//! The limits of an answer that a request sets, in whatever member its operation or family has them.

use serde_json::Value;

use crate::script::Step;

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

/// Where bodies have their stop sequences: an array, or one text.
const STOPS: [&str; 5] = [
    "/inferenceConfig/stopSequences",
    "/textGenerationConfig/stopSequences",
    "/stop_sequences",
    "/stopSequences",
    "/stop",
];

/// The maximum of output tokens.
pub(crate) fn max_tokens(body: &Value) -> Option<u64> {
    MAX_TOKENS.iter().find_map(|place| body.pointer(place)?.as_u64())
}

/// The limits of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The maximum of output tokens.
    most: Option<u64>,
    stops: Vec<String>,
}

impl Limits {
    /// Those of a request.
    ///
    /// # Errors
    /// Bedrock's message if a limit is unusable.
    pub(crate) fn of(body: &Value) -> Result<Self, String> {
        let most = max_tokens(body);
        if most == Some(0) {
            let place = MAX_TOKENS.iter().find(|place| body.pointer(place).is_some()).copied().unwrap_or_default();
            return Err(format!(
                "1 validation error detected: Value '0' at '{}' failed to satisfy constraint: Member must have value \
                 greater than or equal to 1",
                place.trim_start_matches('/').replace('/', ".")
            ));
        }
        let given = STOPS.iter().filter_map(|place| body.pointer(place));
        let texts = given.flat_map(|given| given.as_array().map_or(std::slice::from_ref(given), Vec::as_slice));
        let stops = texts.filter_map(Value::as_str).filter(|stop| !stop.is_empty()).map(str::to_owned).collect();
        Ok(Self { most, stops })
    }

    /// A text without what follows the first stop sequence in it, and this sequence. It is no part of an answer.
    pub(crate) fn stopped<'t>(&self, text: &'t str) -> (&'t str, Option<String>) {
        let found = self.stops.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min();
        found.map_or((text, None), |(at, stop)| (&text[..at], Some(stop.clone())))
    }

    /// The events of an answer with at most this many tokens: deltas with content.
    pub(crate) fn limit(&self, steps: Vec<Step>) -> Vec<Step> {
        let Some(most) = self.most.and_then(|most| usize::try_from(most).ok()) else { return steps };
        if steps.iter().filter(|step| is_token(step)).count() <= most {
            return steps;
        }
        let mut tokens = 0;
        let kept = steps.into_iter().filter(|step| {
            tokens += usize::from(is_token(step));
            !is_token(step) || tokens <= most
        });
        let ended = kept.map(|step| match step {
            Step::Event { event_type, mut payload } => {
                match event_type.as_str() {
                    "messageStop" => payload["stopReason"] = "max_tokens".into(),
                    "metadata" => {
                        let input = payload["usage"]["inputTokens"].as_u64().unwrap_or_default();
                        payload["usage"]["outputTokens"] = most.into();
                        payload["usage"]["totalTokens"] = (input + most as u64).into();
                    }
                    _ => {}
                }
                Step::Event { event_type, payload }
            }
            other => other,
        });
        ended.collect()
    }
}

/// Whether this is a delta with content.
fn is_token(step: &Step) -> bool {
    let Step::Event { event_type, payload } = step else { return false };
    let delta = &payload["delta"];
    let content = delta["text"].as_str().or(delta["toolUse"]["input"].as_str());
    event_type == "contentBlockDelta" && content.is_some_and(|content| !content.is_empty())
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
        let error = Limits::of(&json!({"inferenceConfig": {"maxTokens": 0}})).unwrap_err();
        assert!(error.contains("Value '0' at 'inferenceConfig.maxTokens'"), "{error}");
    }

    #[test]
    fn the_first_stop_sequence_of_a_text_ends_it() {
        let stopped = |body: Value| {
            let (text, stop) = Limits::of(&body).unwrap().stopped("one two three");
            (text.to_owned(), stop)
        };
        let at_two = ("one ".to_owned(), Some("two".to_owned()));
        for body in [
            json!({"inferenceConfig": {"stopSequences": ["three", "two"]}}),
            json!({"textGenerationConfig": {"stopSequences": ["two"]}}),
            json!({"stop_sequences": ["", "two"]}),
            json!({"stopSequences": ["two"]}),
            json!({"stop": ["two"]}),
            json!({"stop": "two"}),
        ] {
            assert_eq!(stopped(body.clone()), at_two, "{body}");
        }
        assert_eq!(stopped(json!({"stop": ["four"]})), ("one two three".to_owned(), None));
        assert_eq!(stopped(json!({"stop": null})), ("one two three".to_owned(), None));
    }
}
