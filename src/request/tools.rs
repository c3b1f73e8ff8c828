//! Checks tools and tool choice.

use super::{
    content::{check_cache_point, check_tool_name},
    path::Path,
    violations::Violations,
};
use crate::{
    json,
    proto::{ToolConfiguration, ToolInputSchema, tool, tool_choice, tool_input_schema::Schema},
};

pub(super) fn check(config: &ToolConfiguration, at: &Path<'_>, violations: &mut Violations) {
    if config.tools.is_empty() {
        violations.add(at.field("tools"), "is empty. Give at least one tool, or leave tool_config out");
    }
    for (index, entry) in config.tools.iter().enumerate() {
        let at = at.entry("tools", index);
        match &entry.tool {
            None => violations.nothing_known(at, "tool_spec"),
            Some(tool::Tool::ToolSpec(spec)) => {
                let at = at.field("tool_spec");
                check_tool_name(&spec.name, &at, violations);
                check_schema(spec.input_schema.as_ref(), &at.field("input_schema"), violations);
            }
            Some(tool::Tool::SystemTool(system)) => check_tool_name(&system.name, &at.field("system_tool"), violations),
            Some(tool::Tool::CachePoint(point)) => check_cache_point(point, &at.field("cache_point"), violations),
        }
    }
    let Some(choice) = &config.tool_choice else { return };
    let at = at.field("tool_choice");
    match &choice.choice {
        None => violations.nothing_known(at, "auto"),
        Some(tool_choice::Choice::Tool(tool)) => check_tool_name(&tool.name, &at.field("tool"), violations),
        Some(tool_choice::Choice::Auto(_) | tool_choice::Choice::Any(_)) => {}
    }
}

fn check_schema(schema: Option<&ToolInputSchema>, at: &Path<'_>, violations: &mut Violations) {
    match schema.and_then(|schema| schema.schema.as_ref()) {
        None => violations.add(at, "is not set. A tool without parameters has the schema {\"type\": \"object\"}"),
        Some(Schema::Json(_)) => {}
        Some(Schema::JsonText(text)) => violations.check(at.field("json_text"), json::parse_object_text(text)),
    }
}
