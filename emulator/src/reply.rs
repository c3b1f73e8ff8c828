//! The answer of an ordinary model: a story for the prompt of the demo, and an echo for any other prompt.

use serde_json::Value;

use crate::script::{Pace, Script, Step};

/// The prompt that the demo and the README use.
pub const STORY_PROMPT: &str = "Write a story about two cats that go on an adventure:";

const STORY: &str = include_str!("story.txt");

/// How much of a prompt the echo quotes, in characters.
const QUOTED: usize = 240;

/// The first word after 350 ms, then forty words a second: about the speed of a small model.
const MODEL_PACE: Pace = Pace { first_ms: 350, gap_ms: 25 };

/// The answer to a request for an ordinary model.
pub(crate) fn script(prompt: &str, input_tokens: u32, unpaced: bool) -> Script {
    let text = if prompt.trim() == STORY_PROMPT { STORY.trim_end().to_owned() } else { echo(prompt) };
    Script {
        steps: steps(&text, input_tokens),
        pace: if unpaced { Pace::default() } else { MODEL_PACE },
        ..Script::default()
    }
}

fn echo(prompt: &str) -> String {
    let quoted: String = prompt.chars().take(QUOTED).collect();
    let dots = if quoted.len() < prompt.len() { "…" } else { "" };
    format!(
        "This is the Bedrock emulator answering, not a model. You wrote: “{quoted}{dots}” Point the server at AWS to \
         hear what a model makes of that."
    )
}

/// The events of a complete answer with this text, with one delta for each word.
pub(crate) fn steps(text: &str, input_tokens: u32) -> Vec<Step> {
    let words = words(text);
    let output = u32::try_from(words.len()).unwrap_or(u32::MAX);
    let mut steps = vec![Step::message_start()];
    steps.extend(words.into_iter().map(Step::text));
    steps.extend([Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(input_tokens, output)]);
    steps
}

/// Splits a text into words, each with the white space before it. Joined, they are the text.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut in_word) = (0, false);
    for (at, character) in text.char_indices() {
        if character.is_whitespace() && in_word {
            pieces.push(&text[start..at]);
            start = at;
        }
        in_word = !character.is_whitespace();
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

/// The text of the last user message of a Converse body, or the prompt of a native one.
pub(crate) fn prompt_of(body: &Value) -> String {
    let blocks = |message: &Value| -> String {
        match &message["content"] {
            Value::String(text) => text.clone(),
            content => content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
        }
    };
    if let Some(message) =
        body["messages"].as_array().and_then(|all| all.iter().rfind(|message| message["role"] == "user"))
    {
        return blocks(message);
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
                    Value::String(text) if matches!(name.as_str(), "text" | "prompt" | "inputText" | "message") => {
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
    use super::*;

    #[test]
    fn words_joined_are_the_text_again() {
        for text in [STORY, "", " ", "a", "a  b\n\nc ", "  lead", "ünï cödé"] {
            assert_eq!(words(text).concat(), text);
        }
        assert_eq!(words("one two\nthree"), ["one", " two", "\nthree"]);
    }

    #[test]
    fn the_echo_quotes_and_says_who_answers() {
        let text = echo("hi");
        assert!(text.contains("“hi”") && text.contains("emulator"));
        assert!(echo(&"x".repeat(1_000)).len() < 600);
    }
}
