//! Answers that are text with a stop reason, and in some formats token counts. A format is a [`Completion`]: where a chunk has these.

use super::foreign;
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::TokenUsage,
};

/// An answer format. `.` separates the names of a path.
#[derive(Debug)]
pub(super) struct Completion {
    /// The family in errors.
    family: &'static str,
    /// The list of the choices. If there is none, the chunk is the only choice.
    choices: Option<&'static str>,
    /// The path of the text in a choice.
    text: &'static str,
    /// The path of the stop reason in a choice.
    stop_reason: &'static str,
    /// The token counts of the chunk.
    counts: Option<Counts>,
}

/// The names of token counts. Each chunk has both, one or none of them; the last values count.
#[derive(Debug)]
struct Counts {
    input: &'static str,
    output: &'static str,
}

/// AI21 Jurassic-2.
pub(super) static JURASSIC_2: Completion = Completion {
    family: "AI21 Jurassic-2",
    choices: Some("completions"),
    text: "data.text",
    stop_reason: "finishReason.reason",
    counts: None,
};

/// Meta Llama 2, 3 and 4.
pub(super) static LLAMA: Completion = Completion {
    family: "Meta Llama",
    choices: None,
    text: "generation",
    stop_reason: "stop_reason",
    counts: Some(Counts { input: "prompt_token_count", output: "generation_token_count" }),
};

/// Mistral's older models. The newer ones are in [`super::chat`].
pub(super) static MISTRAL: Completion =
    Completion { family: "Mistral", choices: Some("outputs"), text: "text", stop_reason: "stop_reason", counts: None };

/// Amazon Titan Text.
pub(super) static TITAN: Completion = Completion {
    family: "Amazon Titan",
    choices: None,
    text: "outputText",
    stop_reason: "completionReason",
    counts: Some(Counts { input: "inputTextTokenCount", output: "totalOutputTextTokenCount" }),
};

impl Completion {
    /// Decodes an answer in this format.
    pub(super) fn decoder(&'static self) -> Box<dyn Decode> {
        Box::new(Decoder { format: self, usage: TokenUsage::default() })
    }

    fn choice(&self, members: &mut Members) -> Choice {
        Choice {
            index: members.int32("index"),
            text: text_at(members, self.text),
            stop_reason: text_at(members, self.stop_reason),
        }
    }
}

/// What a chunk has of one of the answers.
struct Choice {
    index: Option<i32>,
    text: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Debug)]
struct Decoder {
    format: &'static Completion,
    usage: TokenUsage,
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let format = self.format;
        let choices = match format.choices {
            Some(name) => chunk.list(name, |choice| format.choice(choice)),
            None => Some(format.choice(chunk)).filter(|choice| choice.text.is_some()).map(|choice| vec![choice]),
        };
        for (position, choice) in (0..).zip(choices.ok_or_else(|| foreign(format.family))?) {
            sink.text(choice.index.unwrap_or(position), choice.text.unwrap_or_default());
            if let Some(reason) = choice.stop_reason {
                sink.stop(&reason);
            }
        }
        if let Some(names) = &format.counts {
            for (name, count) in
                [(names.input, &mut self.usage.input_tokens), (names.output, &mut self.usage.output_tokens)]
            {
                chunk.null(name);
                *count = chunk.int32(name).or(*count);
            }
            if self.usage.output_tokens.is_some() {
                sink.usage(self.usage.clone());
            }
        }
        Ok(())
    }
}

/// Removes the string at a path. A null there is removed too.
fn text_at(members: &mut Members, path: &str) -> Option<String> {
    if let Some((outer, inner)) = path.split_once('.') {
        return members.object(outer, |members| text_at(members, inner));
    }
    members.null(path);
    members.text(path)
}
