//! Plain tables and messages for people. Control characters are replaced where the text is written.

use std::fmt::Write;

use crate::proto::{
    ContentBlock, Conversation, ListModelsResponse, Message, ModelKind, Role, citation_generated_content,
    content_block::Block,
};

/// The models that ListModels returns.
pub(super) fn models(listed: &ListModelsResponse) -> String {
    let rows = listed.models.iter().map(|model| {
        let kind = model.kind().as_str_name().trim_start_matches("MODEL_KIND_").to_lowercase().replace('_', " ");
        let kind = if model.kind() == ModelKind::Unspecified { String::new() } else { kind };
        let name = if model.is_default { format!("{} *", model.name) } else { model.name.clone() };
        let max_tokens = model.max_tokens.map(|tokens| tokens.to_string()).unwrap_or_default();
        [name, kind, max_tokens, model.regions.join(","), model.description.clone()]
    });
    let mut text = table(["NAME", "KIND", "MAX TOKENS", "REGIONS", "DESCRIPTION"], rows);
    if !listed.account_problem.is_empty() {
        let _ = writeln!(text, "The models of the account are missing: {}", listed.account_problem);
    }
    text
}

/// A list of conversations.
pub(super) fn conversations(listed: &[Conversation]) -> String {
    let rows = listed.iter().map(|one| {
        // To the second, so that the line fits into 80 columns.
        let updated = one.update_time.map(|mut time| {
            time.nanos = 0;
            time.to_string()
        });
        let updated = updated.unwrap_or_default();
        [one.conversation_id.clone(), updated, one.turn_count.to_string(), one.model.clone(), one.title.clone()]
    });
    table(["ID", "UPDATED", "TURNS", "MODEL", "TITLE"], rows)
}

/// The role of a message.
pub(super) fn role(message: &Message) -> &'static str {
    match message.role() {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
        Role::Unspecified => "unknown",
    }
}

/// The blocks of a message in lines.
pub(super) fn content(message: &Message) -> String {
    message.content.iter().map(|block| shown(block).trim_end_matches('\n').to_owned() + "\n").collect()
}

/// The text of a block, or the name of its kind.
pub(super) fn shown(block: &ContentBlock) -> String {
    match &block.block {
        Some(Block::Text(text)) => text.clone(),
        Some(Block::CitationsContent(cited)) => {
            let texts = cited.content.iter().filter_map(|part| part.content.as_ref());
            texts.map(|citation_generated_content::Content::Text(text)| text.as_str()).collect()
        }
        Some(Block::ToolUse(tool)) => format!("[tool use: {}]", tool.name),
        Some(Block::ToolResult(result)) => format!("[tool result: {}]", result.tool_use_id),
        Some(Block::Document(document)) => format!("[document: {}]", document.name),
        Some(Block::Image(_)) => "[image]".to_owned(),
        Some(Block::Video(_)) => "[video]".to_owned(),
        Some(Block::Audio(_)) => "[audio]".to_owned(),
        Some(Block::ReasoningContent(_)) => "[reasoning]".to_owned(),
        _ => "[other content]".to_owned(),
    }
}

/// Columns that are separated by two spaces. Line breaks and tabs in cells become spaces.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let clean = |cell: String| cell.replace(['\n', '\r', '\t'], " ");
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows.map(|row| row.map(clean))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_cell_stays_in_its_line() {
        let rows = [["a".to_owned(), "one\ntwo\r\tthree".to_owned()], ["éé∀".to_owned(), String::new()]];
        assert_eq!(table(["ID", "TITLE"], rows.into_iter()), "ID   TITLE\na    one two  three\néé∀\n");
    }
}
