//! Maps sampling, guardrail, output and metadata to the SDK's types.

use std::collections::HashMap;

use aws_sdk_bedrockruntime::types as aws;

use super::{checked, some_list, some_text};
use crate::{
    error::Error,
    proto::{self, output_format_structure, prompt_variable_values},
};

pub(super) fn inference(config: proto::InferenceConfiguration) -> aws::InferenceConfiguration {
    let proto::InferenceConfiguration { max_tokens, temperature, top_p, stop_sequences } = config;
    aws::InferenceConfiguration::builder()
        .set_max_tokens(max_tokens)
        .set_temperature(temperature)
        .set_top_p(top_p)
        .set_stop_sequences(some_list(stop_sequences))
        .build()
}

pub(super) fn guardrail(config: proto::GuardrailStreamConfiguration) -> aws::GuardrailStreamConfiguration {
    aws::GuardrailStreamConfiguration::builder()
        .set_guardrail_identifier(some_text(config.guardrail_identifier))
        .set_guardrail_version(some_text(config.guardrail_version))
        .set_trace(some_text(config.trace).map(|trace| trace.as_str().into()))
        .set_stream_processing_mode(some_text(config.stream_processing_mode).map(|mode| mode.as_str().into()))
        .build()
}

pub(super) fn prompt_variables(
    variables: HashMap<String, proto::PromptVariableValues>,
) -> Result<HashMap<String, aws::PromptVariableValues>, Error> {
    let value = |(name, values): (String, proto::PromptVariableValues)| {
        let prompt_variable_values::Value::Text(text) = checked(values.value, "the value of a prompt variable")?;
        Ok((name, aws::PromptVariableValues::Text(text)))
    };
    variables.into_iter().map(value).collect()
}

pub(super) fn performance(config: &proto::PerformanceConfiguration) -> aws::PerformanceConfiguration {
    let latency = some_text(config.latency.clone()).map(|latency| latency.as_str().into());
    aws::PerformanceConfiguration::builder().set_latency(latency).build()
}

pub(super) fn service_tier(tier: &proto::ServiceTier) -> Result<aws::ServiceTier, Error> {
    Ok(aws::ServiceTier::builder().r#type(tier.r#type.as_str().into()).build()?)
}

pub(super) fn output(config: proto::OutputConfig) -> Result<aws::OutputConfig, Error> {
    let format = config.text_format.map(output_format).transpose()?;
    Ok(aws::OutputConfig::builder().set_text_format(format).set_effort(some_text(config.effort)).build())
}

fn output_format(format: proto::OutputFormat) -> Result<aws::OutputFormat, Error> {
    use output_format_structure::Structure;
    let structure = checked(format.structure.and_then(|structure| structure.structure), "the structure of a format")?;
    let Structure::JsonSchema(definition) = structure;
    let definition = aws::JsonSchemaDefinition::builder()
        .schema(definition.schema)
        .set_name(some_text(definition.name))
        .set_description(some_text(definition.description))
        .build()?;
    let structure = aws::OutputFormatStructure::JsonSchema(definition);
    Ok(aws::OutputFormat::builder().r#type(format.r#type.as_str().into()).structure(structure).build()?)
}
