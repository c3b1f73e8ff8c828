//! Maps tools and tool choice to the SDK's types.

use aws_sdk_bedrockruntime::types as aws;

use super::{checked, content::cache_point, document, each, some_text};
use crate::{
    error::Error,
    proto::{self, tool, tool_choice},
};

pub(super) fn configuration(config: proto::ToolConfiguration) -> Result<aws::ToolConfiguration, Error> {
    let tools = each(config.tools, |tool| {
        Ok(match checked(tool.tool, "a tool")? {
            tool::Tool::ToolSpec(spec) => aws::Tool::ToolSpec(specification(spec)?),
            tool::Tool::SystemTool(system) => {
                aws::Tool::SystemTool(aws::SystemTool::builder().name(system.name).build()?)
            }
            tool::Tool::CachePoint(point) => aws::Tool::CachePoint(cache_point(point)?),
        })
    })?;
    let choice = config.tool_choice.map(choice).transpose()?;
    Ok(aws::ToolConfiguration::builder().set_tools(Some(tools)).set_tool_choice(choice).build()?)
}

fn specification(spec: proto::ToolSpecification) -> Result<aws::ToolSpecification, Error> {
    let schema = checked(spec.schema(), "the schema of a tool")?;
    Ok(aws::ToolSpecification::builder()
        .name(spec.name)
        .set_description(some_text(spec.description))
        .input_schema(aws::ToolInputSchema::Json(document::object_of(schema)))
        .set_strict(spec.strict)
        .build()?)
}

fn choice(choice: proto::ToolChoice) -> Result<aws::ToolChoice, Error> {
    use tool_choice::Choice;
    Ok(match checked(choice.choice, "a tool choice")? {
        Choice::Auto(_) => aws::ToolChoice::Auto(aws::AutoToolChoice::builder().build()),
        Choice::Any(_) => aws::ToolChoice::Any(aws::AnyToolChoice::builder().build()),
        Choice::Tool(tool) => aws::ToolChoice::Tool(aws::SpecificToolChoice::builder().name(tool.name).build()?),
    })
}
