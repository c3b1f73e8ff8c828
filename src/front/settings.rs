//! What stands in the headers of InvokeModel beside its body: guardrail, latency, tier, metadata.

use http::HeaderMap;

use crate::{
    error::{Error, Reason},
    proto::{GenerateRequest, GuardrailStreamConfiguration, PerformanceConfiguration, ServiceTier},
    request::relayed::Operation,
};

/// Reads the headers into a request.
///
/// # Errors
/// `MALFORMED_REQUEST`.
pub(super) fn read(request: &mut GenerateRequest, headers: &HeaderMap) -> Result<(), Error> {
    let text = |name: &str| -> Result<String, Error> {
        let Some(value) = headers.get(name) else { return Ok(String::new()) };
        let text = value.to_str().map(str::to_owned);
        text.map_err(|_| Error::new(Reason::MalformedRequest, format!("the header {name} is not text")))
    };
    let guardrail = GuardrailStreamConfiguration {
        guardrail_identifier: text("x-amzn-bedrock-guardrailidentifier")?,
        guardrail_version: text("x-amzn-bedrock-guardrailversion")?,
        trace: text("x-amzn-bedrock-trace")?.to_ascii_lowercase(),
        stream_processing_mode: String::new(),
    };
    if guardrail != GuardrailStreamConfiguration::default() {
        request.guardrail_config = Some(guardrail);
    }
    let latency = text("x-amzn-bedrock-performanceconfig-latency")?;
    if !latency.is_empty() {
        request.performance_config = Some(PerformanceConfiguration { latency });
    }
    let tier = text("x-amzn-bedrock-service-tier")?;
    if !tier.is_empty() {
        request.service_tier = Some(ServiceTier { r#type: tier });
    }
    let metadata = text("x-amzn-bedrock-request-metadata")?;
    if !metadata.is_empty() {
        request.request_metadata = serde_json::from_str(&metadata).map_err(|_| {
            let message = "the header x-amzn-bedrock-request-metadata is not a JSON object of texts";
            Error::new(Reason::MalformedRequest, message)
        })?;
    }
    Ok(())
}

/// The content type of the answer that a caller accepts. In the stream of a model it is that of its chunks.
pub(super) fn accept(operation: Operation, headers: &HeaderMap) -> String {
    let name = if operation.is_whole() { "accept" } else { "x-amzn-bedrock-accept" };
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
