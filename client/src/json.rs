//! Converts between JSON text and messages of the contract.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

pub use outcrop_contract::json::{parse, parse_object};

use crate::proto::FILE_DESCRIPTOR_SET;

/// The error of a conversion.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

fn descriptor(name: &str) -> Result<MessageDescriptor, Error> {
    let found = POOL.as_ref().and_then(|pool| pool.get_message_by_name(name));
    found.ok_or_else(|| format!("the contract has no message {name}").into())
}

/// A message in the JSON form of protobuf, as grpcurl prints it.
///
/// # Errors
/// If the contract has no message of this name.
pub fn write(name: &str, message: &impl Message) -> Result<String, Error> {
    let dynamic = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice())?;
    Ok(serde_json::to_string(&dynamic)?)
}

/// A message of the contract or a well-known one, such as `outcrop.v1.GenerateRequest`, from the JSON form of protobuf.
///
/// # Errors
/// If the text is not JSON, or not the JSON form of the message.
pub fn read<M: Message + Default>(name: &str, json: &str) -> Result<M, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let dynamic = DynamicMessage::deserialize(descriptor(name)?, &mut deserializer)?;
    deserializer.end()?;
    debug_assert_eq!(dynamic.descriptor().full_name(), name);
    Ok(dynamic.transcode_to()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_be_written_as_json() {
        let json = r#"{"prompt": "hi", "inferenceConfig": {"maxTokens": 5}, "additionalModelRequestFields": {"k": 1}}"#;
        let request: crate::proto::GenerateRequest = read("outcrop.v1.GenerateRequest", json).unwrap();
        assert_eq!(request.prompt, "hi");
        assert_eq!(request.inference_config.unwrap().max_tokens, Some(5));
        assert!(read::<crate::proto::GenerateRequest>("outcrop.v1.GenerateRequest", r#"{"promt": "hi"}"#).is_err());
        assert!(parse("{").is_err() && parse("1 2").is_err());
    }
}
