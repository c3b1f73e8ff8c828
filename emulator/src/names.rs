//! What model ids and marks in prompts name: a script, a recording or an ordinary model.

use serde_json::Value;

/// The prefix of model ids that name a script.
pub const SCRIPT_PREFIX: &str = "emulator.";

/// The prefix of model ids that name a recording: `recording.<folder>/<file without .json>`.
pub const RECORDING_PREFIX: &str = "recording.";

/// The name for the answer of an ordinary model.
pub(crate) const DEFAULT: &str = "default";

/// The name for an ordinary model that calls the tools of a request.
pub(crate) const CALLER: &str = "call";

/// Whether this names a script or a recording.
pub(crate) fn is_named(name: &str) -> bool {
    let rest = [SCRIPT_PREFIX, RECORDING_PREFIX].iter().find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| !rest.is_empty())
}

/// The script or recording that is named by the end of an ARN: `arn:aws:bedrock:us-east-1:1:inference-profile/emulator.NAME`.
pub(crate) fn of_arn(model_id: &str) -> Option<&str> {
    let places = model_id.starts_with("arn:").then(|| model_id.match_indices('/')).into_iter().flatten();
    places.map(|(at, _)| &model_id[at + 1..]).find(|name| is_named(name))
}

/// The script that is marked in the last words of a user: `[emulator.NAME]`. The results of tools are no words.
pub(crate) fn marked_in(body: &Value) -> Option<&str> {
    let own = ["prompt", "inputText", "message"].iter().filter_map(|name| body[name].as_str());
    let messages = body["messages"].as_array().into_iter().flatten();
    let mut said =
        messages.filter(|message| message["role"] == "user").filter_map(|message| match &message["content"] {
            Value::String(text) => Some(vec![text.as_str()]),
            content => {
                let texts: Vec<_> = content.as_array()?.iter().filter_map(|block| block["text"].as_str()).collect();
                (!texts.is_empty()).then_some(texts)
            }
        });
    let last = said.next_back().unwrap_or_else(|| own.collect());
    last.into_iter().find_map(marked)
}

fn marked(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
    let starts = text.match_indices('[').map(|(at, _)| &text[at + 1..]);
    let names = starts.filter_map(|rest| rest.split_once(']')).map(|(name, _)| name);
    names.into_iter().find(|name| is_named(name) && name.chars().all(is_name))
}

/// Whether an ordinary model has this id, which is an ARN or `provider.model`.
pub(crate) fn is_model(model_id: &str) -> bool {
    model_id.starts_with("arn:") || model_id.split_once('.').is_some_and(is_provider_and_model)
}

/// Bedrock's model ids are `provider.model`, in lower case.
fn is_provider_and_model((provider, model): (&str, &str)) -> bool {
    let allowed = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:_".contains(c))
    };
    allowed(provider) && allowed(model)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_an_arn_names_a_script() {
        let profile = |end: &str| format!("arn:aws:bedrock:us-east-1:000000000000:inference-profile/{end}");
        assert_eq!(of_arn(&profile("emulator.cut")), Some("emulator.cut"));
        assert_eq!(of_arn(&profile("recording.a/b")), Some("recording.a/b"));
        assert_eq!(of_arn(&profile("us.anthropic.claude-sonnet-4-20250514-v1:0")), None);
        assert_eq!(of_arn("a.model/emulator.cut"), None);
    }

    #[test]
    fn the_last_words_of_a_user_can_mark_a_script() {
        let user = |content: Value| json!({"role": "user", "content": content});
        let asked = user(json!([{"text": "Look it up. [emulator.tools]"}]));
        let result = user(json!([{"toolResult": {"toolUseId": "1", "content": [{"text": "[emulator.cut]"}]}}]));
        let cases = [
            (json!({"messages": [asked]}), Some("emulator.tools")),
            (json!({"messages": [asked, {"role": "assistant", "content": []}, result]}), Some("emulator.tools")),
            (json!({"messages": [asked, user(json!("thanks"))]}), None),
            (json!({"messages": [user(json!("[x] [recording.a/b] [emulator.cut]"))]}), Some("recording.a/b")),
            (json!({"prompt": "Human: [emulator.a-1]\nAI:"}), Some("emulator.a-1")),
            (json!({"inputText": "[emulator.]"}), None),
            (json!({"message": "[emulator.a b]"}), None),
            (json!({"message": "[emulator.a"}), None),
            (json!({"system": "[emulator.cut]"}), None),
            (json!(null), None),
        ];
        for (body, expected) in cases {
            assert_eq!(marked_in(&body), expected, "{body}");
        }
    }
}
