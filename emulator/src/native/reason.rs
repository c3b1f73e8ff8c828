//! The names of stop reasons in each family's format.

use super::Format;

/// The name of Converse's stop reason in this format.
pub(super) fn named(format: Format, reason: &str) -> &str {
    let (end, length) = match format {
        Format::Anthropic | Format::Nova => return reason,
        Format::AnthropicText => ("stop_sequence", "max_tokens"),
        Format::Titan => ("FINISH", "LENGTH"),
        Format::Cohere | Format::CommandR => ("COMPLETE", "MAX_TOKENS"),
        Format::Jurassic => ("endoftext", "length"),
        Format::Llama | Format::Mistral | Format::Chat | Format::ChatText => ("stop", "length"),
    };
    match (reason, format) {
        ("tool_use", Format::Chat) => "tool_calls",
        ("end_turn" | "stop_sequence" | "tool_use", _) => end,
        ("max_tokens", _) => length,
        _ => reason,
    }
}

/// The name of a format's stop reason in Converse.
pub(super) fn converse(reason: &str) -> &str {
    match reason {
        "stop" | "FINISH" | "COMPLETE" | "endoftext" => "end_turn",
        "length" | "LENGTH" | "MAX_TOKENS" => "max_tokens",
        "tool_calls" => "tool_use",
        _ => reason,
    }
}
