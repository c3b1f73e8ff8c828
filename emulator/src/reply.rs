//! The answer of an ordinary model: a prepared one for a prompt that the page or the README suggests, and an echo for any other prompt.

use crate::{
    prompt,
    script::{Pace, Script, Step},
};

/// The prompt that the demo and the README use.
pub const STORY_PROMPT: &str = "Write a story about two cats that go on an adventure:";

const STORY: &str = include_str!("reply/story.md");

/// The answers to the prompts that the page and the README suggest, each with words that the prompt has.
const ANSWERS: [(&[&str], &str); 3] = [
    (&["story", "cats"], STORY),
    (&["sandstone", "formed"], include_str!("reply/sandstone.md")),
    (&["compare", "sort", "table"], include_str!("reply/sorting.md")),
];

/// A prompt with more words asks for something else besides.
const SHORT: usize = 20;

/// How much of the user's last words the echo quotes, in characters: their end.
const QUOTED: usize = 400;

/// The first word after 350 ms, then forty words a second: about the speed of a small model.
pub(crate) const MODEL_PACE: Pace = Pace { first_ms: 350, gap_ms: 25, first_p99_ms: None, gap_p99_ms: None, seed: 0 };

/// The text of the answer of an ordinary model to this prompt.
pub(crate) fn text(prompt: &str) -> String {
    let words = prompt::last_words(prompt);
    prepared(words).map_or_else(|| echo(words), |answer| answer.trim_end().to_owned())
}

/// The answer to a prompt that is suggested, however it is put and whatever its punctuation.
fn prepared(words: &str) -> Option<&'static str> {
    let words: Vec<_> = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let has = |word: &&str| words.iter().any(|said| said.eq_ignore_ascii_case(word));
    let answer = ANSWERS.iter().find(|(asked, _)| words.len() <= SHORT && asked.iter().all(has));
    answer.map(|(_, answer)| *answer)
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
        assert!(!text(&format!("Human: {STORY_PROMPT}\nAI: no\nHuman: why?\nAI:")).contains("Pepper"));
        for near in [
            "write a story about two cats that go on an adventure.",
            "Write a story about two cats that go on an adventure",
            "  write me a STORY about two cats ",
            "Tell a short story: two cats, one adventure!",
            "story, cats",
        ] {
            assert!(text(near).contains("Pepper"), "{near:?}");
        }
        for other in ["Write a story about a dog", "Two cats", &format!("{STORY_PROMPT} {}", "and more ".repeat(9))] {
            assert!(text(other).contains("You wrote"), "{other:?}");
        }
    }

    #[test]
    fn what_the_page_suggests_has_a_prepared_answer() {
        let page = include_str!("../../web/src/index.html");
        let ideas: Vec<_> = page.split("class=\"idea\">").skip(1).filter_map(|idea| idea.split('<').next()).collect();
        assert!(ideas.len() >= 3, "{ideas:?}");
        for idea in ideas {
            assert!(!text(idea).contains("You wrote"), "{idea}");
        }
    }
}
