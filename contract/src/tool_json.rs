//! The JSON of tools, whichever of its two forms a message has.

use serde_json::{Map, Value};

use crate::{
    json,
    v1::{ToolSpecification, ToolUseBlock, tool_input_schema::Schema, tool_result_content_block},
};

impl ToolSpecification {
    /// The schema of the input. `None` if it is not set, or its text is not a JSON object.
    pub fn schema(&self) -> Option<Map<String, Value>> {
        match self.input_schema.as_ref()?.schema.as_ref()? {
            Schema::Json(members) => Some(json::from_struct(members)),
            Schema::JsonText(text) => json::parse_object_text(text).ok(),
        }
    }
}

impl ToolUseBlock {
    /// The input. `None` if it is not set, or its text is not JSON.
    pub fn input_value(&self) -> Option<Value> {
        match &self.input {
            Some(input) => Some(json::from_value(input)),
            None => json::parse_text(&self.input_json).ok(),
        }
    }
}

impl tool_result_content_block::Block {
    /// The JSON of a result. `None` if it is something else, or its text is not JSON.
    pub fn json_value(&self) -> Option<Value> {
        match self {
            Self::Json(value) => Some(json::from_value(value)),
            Self::JsonText(text) => json::parse_text(text).ok(),
            _ => None,
        }
    }
}
