//! The answer of an ordinary model: a story for the prompt of the demo, and an echo for any other prompt.

use crate::{
    prompt,
    script::{Pace, Script, Step},
};

/// The prompt that the demo and the README use.
pub const STORY_PROMPT: &str = "Write a story about two cats that go on an adventure:";

const STORY: &str = include_str!("story.txt");

/// How much of the user's last words the echo quotes, in characters: their end.
const QUOTED: usize = 400;

/// The first word after 350 ms, then forty words a second: about the speed of a small model.
pub(crate) const MODEL_PACE: Pace = Pace { first_ms: 350, gap_ms: 25, first_p99_ms: None, gap_p99_ms: None, seed: 0 };

/// The text of the answer of an ordinary model to this prompt.
pub(crate) fn text(prompt: &str) -> String {
    let words = prompt::last_words(prompt);
    if asks_for_story(words) { STORY.trim_end().to_owned() } else { echo(words) }
}

/// The same whatever the end of the sentence.
fn asks_for_story(words: &str) -> bool {
    let sentence = |text: &str| text.trim_end_matches([':', '.', '!', ' ']).to_lowercase();
    sentence(words) == sentence(STORY_PROMPT)
}

/// The answer of an ordinary model with these events.
pub(crate) fn script(steps: Vec<Step>, pace: Pace) -> Script {
    Script { pace, steps, ..Script::default() }
}

fn echo(prompt: &str) -> String {
    let start = prompt.char_indices().rev().nth(QUOTED - 1).map_or(0, |(start, _)| start);
    let (dots, quoted) = (if start > 0 { "…" } else { "" }, &prompt[start..]);
    format!(
        "This is the Bedrock emulator answering, not a model. You wrote: “{dots}{quoted}” Point the server at AWS to \
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
        let long = echo(&format!("{}the end", "x".repeat(1_000)));
        assert!(long.len() < 700 && long.contains("the end”"), "{long}");
    }

    #[test]
    fn the_story_is_for_last_words_that_ask_for_it() {
        let asked = format!("A conversation.\n\nHuman: hello\nAI: Hi!\nHuman: {STORY_PROMPT}\nAI:");
        assert!(text(&asked).contains("Pepper"));
        assert!(text("Human: write a story about two cats that go on an adventure.\nAI:").contains("Pepper"));
        assert!(!text(&format!("Human: {STORY_PROMPT}\nAI: no\nHuman: why?\nAI:")).contains("Pepper"));
    }
}
