//! What a request says: its prompt, the user's last words in it, and the number of its tokens.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// The marks around the words of a user in the templates of models.
const TEMPLATES: [(&str, &str); 5] = [
    ("<|start_header_id|>user<|end_header_id|>", "<|eot_id|>"),
    ("<|header_start|>user<|header_end|>", "<|eot|>"),
    ("<｜User｜>", "<｜Assistant｜>"),
    ("[INST]", "[/INST]"),
    ("<</SYS>>", "[/INST]"),
];

/// What begins the words of a user in a dialogue, at the start of a line.
const USERS: [&str; 4] = ["Human:", "User:", "USER:", "Question:"];

/// What begins the words of a model in a dialogue, at the start of a line.
const MODELS: [&str; 6] = ["AI:", "Assistant:", "ASSISTANT:", "Chatbot:", "Bot:", "Answer:"];

/// The user's last words in a prompt that is a template or a dialogue. Any other prompt is all theirs.
pub(crate) fn last_words(prompt: &str) -> &str {
    let mut words = prompt;
    for (open, close) in TEMPLATES {
        if let Some((_, after)) = words.rsplit_once(open) {
            words = after.split(close).next().unwrap_or(after);
        }
    }
    if let Some(start) = line_starts(words, &USERS).last() {
        words = &words[start..];
    }
    let words = words.trim();
    let end = MODELS.iter().filter_map(|mark| words.find(&format!("\n{mark}"))).min();
    let said = end.map_or(words, |end| &words[..end]).trim();
    if said.is_empty() { prompt.trim() } else { said }
}

/// Where the text after one of these marks begins, for each line that begins with one.
fn line_starts<'a>(text: &'a str, marks: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    starts.filter_map(|start| {
        let line = text[start..].trim_start_matches([' ', '\t']);
        let mark = marks.iter().find(|mark| line.starts_with(**mark))?;
        Some(text.len() - line.len() + mark.len())
    })
}

/// The body whose tokens CountTokens counts. `None` if there is none.
pub(crate) fn counted(body: &Value) -> Option<Value> {
    let input = &body["input"];
    if let Some(converse) = input.get("converse") {
        return Some(converse.clone());
    }
    let native = BASE64_STANDARD.decode(input["invokeModel"]["body"].as_str()?).ok()?;
    serde_json::from_slice(&native).ok()
}

/// The text of the last user message with text of a Converse body, or the prompt of a native one. The results of tools are no text.
pub(crate) fn prompt_of(body: &Value) -> String {
    let blocks = |message: &Value| -> String {
        match &message["content"] {
            Value::String(text) => text.clone(),
            content => content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
        }
    };
    if let Some(messages) = body["messages"].as_array() {
        let said = messages.iter().rev().filter(|message| message["role"] == "user").map(blocks);
        let mut said = said.filter(|text| !text.is_empty());
        return said.next().unwrap_or_default();
    }
    ["prompt", "inputText", "message"].iter().find_map(|name| body[name].as_str()).unwrap_or_default().to_owned()
}

/// An approximate number of input tokens: one for each word of every text of the body.
pub(crate) fn input_tokens(body: &Value) -> u32 {
    fn count(value: &Value) -> usize {
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, member)| match member {
                    Value::String(text)
                        if matches!(
                            name.as_str(),
                            "text" | "prompt" | "inputText" | "message" | "content" | "system"
                        ) =>
                    {
                        text.split_whitespace().count()
                    }
                    other => count(other),
                })
                .sum(),
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0,
        }
    }
    u32::try_from(count(body)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_words_of_a_dialogue_are_the_users() {
        let chain = "The following is a friendly conversation between a human and an AI.\n\nCurrent conversation:\nHuman: \
                     hello\nAI: Hi there!\nHuman: Tell me\nmore:\nAI:";
        let cases = [
            ("hi", "hi"),
            (chain, "Tell me\nmore:"),
            ("\n\nHuman: hi\n\nAssistant:", "hi"),
            ("\n\nHuman: The conversation:\n\nHuman: one\nAI: two\nHuman: three\nAI:\n\nAssistant:", "three"),
            ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nhi [/INST] yes </s><s>[INST] again [/INST]", "again"),
            ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nhi [/INST]", "hi"),
            (
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|start_header_id|>assistant\
                 <|end_header_id|>\n\n",
                "hi",
            ),
            ("User: hi\nBot:", "hi"),
            ("He said: Human: not a turn", "He said: Human: not a turn"),
            ("Human:", "Human:"),
            ("", ""),
        ];
        for (prompt, expected) in cases {
            assert_eq!(last_words(prompt), expected, "{prompt:?}");
        }
    }

    #[test]
    fn tokens_of_either_input_are_counted() {
        let messages = json!({"system": "be brief", "messages": [{"role": "user", "content": "one two three"}]});
        let body = BASE64_STANDARD.encode(messages.to_string());
        let native = counted(&json!({"input": {"invokeModel": {"body": body}}})).unwrap();
        assert_eq!(input_tokens(&native), 5);
        let converse = json!({"messages": [{"role": "user", "content": [{"text": "one two"}]}]});
        assert_eq!(input_tokens(&counted(&json!({"input": {"converse": converse}})).unwrap()), 2);
        assert_eq!(counted(&json!({"input": {"invokeModel": {"body": "bm8="}}})), None);
        assert_eq!(counted(&json!({"input": {}})), None);
    }
}
