//! What Bedrock refuses before a model sees a request, with Bedrock's messages: the constraints of Converse, and the rules of a conversation.

use serde_json::Value;

use crate::operation::Operation;

/// The longest name of a tool.
const LONGEST_NAME: usize = 64;

/// Bedrock's message about a request that it refuses.
pub(crate) fn check(operation: Operation, body: &Value) -> Result<(), String> {
    if operation.is_converse() {
        constraints(body)?;
        return conversation(body);
    }
    let is_anthropic = body.get("anthropic_version").is_some() && body.get("messages").is_some();
    if is_anthropic && body.get("max_tokens").is_none() {
        return Err("Malformed input request: #: required key [max_tokens] not found, please reformat your input and try again."
            .to_owned());
    }
    Ok(())
}

/// The constraints of members, all at once.
fn constraints(body: &Value) -> Result<(), String> {
    let mut found = Constraints::default();
    let inference = &body["inferenceConfig"];
    for name in ["temperature", "topP"] {
        found.range(inference, "inferenceConfig", name, 0.0, 1.0);
    }
    found.range(inference, "inferenceConfig", "maxTokens", 1.0, f64::INFINITY);
    if let Some(tools) = body["toolConfig"]["tools"].as_array() {
        if tools.is_empty() {
            found.add("Value at 'toolConfig.tools'", "have length greater than or equal to 1");
        }
        for (tool, number) in tools.iter().zip(1..) {
            let spec = &tool["toolSpec"];
            let place = format!("toolConfig.tools.{number}.member.toolSpec");
            found.name(spec, &place);
            if spec["description"] == "" {
                let value = format!("Value '' at '{place}.description'");
                found.add(&value, "have length greater than or equal to 1");
            }
        }
    }
    for (message, number) in messages(body).iter().zip(1..) {
        let place = format!("messages.{number}.member");
        if let Some(role) = message["role"].as_str().filter(|role| !["user", "assistant"].contains(role)) {
            found.add(&format!("Value '{role}' at '{place}.role'"), "satisfy enum value set: [user, assistant]");
        }
        for (block, number) in blocks(message).iter().zip(1..) {
            found.name(&block["toolUse"], &format!("{place}.content.{number}.member.toolUse"));
        }
    }
    found.result()
}

/// The constraints that values do not satisfy.
#[derive(Debug, Default)]
struct Constraints(Vec<String>);

impl Constraints {
    fn add(&mut self, value: &str, constraint: &str) {
        self.0.push(format!("{value} failed to satisfy constraint: Member must {constraint}"));
    }

    fn range(&mut self, object: &Value, place: &str, name: &str, least: f64, most: f64) {
        let Some(value) = object[name].as_f64() else { return };
        let subject = format!("Value '{}' at '{place}.{name}'", object[name]);
        if value > most {
            self.add(&subject, &format!("have value less than or equal to {most}"));
        } else if value < least {
            self.add(&subject, &format!("have value greater than or equal to {least}"));
        }
    }

    /// The name of a tool or of its use.
    fn name(&mut self, object: &Value, place: &str) {
        let Some(name) = object["name"].as_str() else { return };
        let subject = format!("Value '{name}' at '{place}.name'");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            self.add(&subject, "satisfy regular expression pattern: [a-zA-Z0-9_-]+");
        }
        if name.is_empty() {
            self.add(&subject, "have length greater than or equal to 1");
        }
        if name.chars().count() > LONGEST_NAME {
            self.add(&subject, &format!("have length less than or equal to {LONGEST_NAME}"));
        }
    }

    fn result(self) -> Result<(), String> {
        let all = self.0.join("; ");
        match self.0.len() {
            0 => Ok(()),
            1 => Err(format!("1 validation error detected: {all}")),
            count => Err(format!("{count} validation errors detected: {all}")),
        }
    }
}

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn blocks(message: &Value) -> &[Value] {
    message["content"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The rules of a conversation, in Bedrock's order.
fn conversation(body: &Value) -> Result<(), String> {
    let messages = messages(body);
    if messages.first().is_some_and(|first| first["role"] != "user") {
        return Err(
            "A conversation must start with a user message. Try again with a conversation that starts with a user \
                    message."
                .to_owned(),
        );
    }
    if messages.windows(2).any(|two| two[0]["role"] == two[1]["role"]) {
        return Err(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates \
                    between user and assistant roles and try again."
                .to_owned(),
        );
    }
    for (number, message) in messages.iter().enumerate() {
        content(number, message)?;
    }
    let has = |name: &str| messages.iter().flat_map(blocks).any(|block| block.get(name).is_some());
    if (has("toolUse") || has("toolResult")) && body["toolConfig"]["tools"].as_array().is_none_or(Vec::is_empty) {
        return Err("The toolConfig field must be defined when using toolUse and toolResult content blocks.".to_owned());
    }
    tools(messages)
}

/// The content of the message with this number.
fn content(number: usize, message: &Value) -> Result<(), String> {
    let blocks = blocks(message);
    if blocks.is_empty() {
        return Err(format!(
            "The content field in the Message object at messages.{number} is empty. Add a ContentBlock object to the content \
             field and try again."
        ));
    }
    let is_blank = |block: &Value| block["text"].as_str().is_some_and(|text| text.trim().is_empty());
    if let Some(place) = blocks.iter().position(is_blank) {
        return Err(format!(
            "The text field in the ContentBlock object at messages.{number}.content.{place} is blank. Add text to the text \
             field, and try again."
        ));
    }
    let has = |name: &str| blocks.iter().any(|block| block.get(name).is_some());
    if has("document") && !has("text") {
        return Err("A text block must be included when using documents.".to_owned());
    }
    Ok(())
}

/// Every use of a tool is followed by its result, and every result follows a use.
fn tools(messages: &[Value]) -> Result<(), String> {
    let ids = |message: &Value, name: &str| -> Vec<String> {
        let found = blocks(message).iter().filter_map(|block| block[name]["toolUseId"].as_str());
        found.map(str::to_owned).collect()
    };
    let mut used: Vec<String> = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let results = ids(message, "toolResult");
        if results.len() > used.len() {
            return Err(format!(
                "The number of toolResult blocks at messages.{number}.content exceeds the number of toolUse blocks of previous \
                 turn."
            ));
        }
        let missing: Vec<_> = used.iter().filter(|id| !results.contains(id)).cloned().collect();
        if !missing.is_empty() {
            return Err(format!(
                "Expected toolResult blocks at messages.{number}.content for the following Ids: {}",
                missing.join(", ")
            ));
        }
        used = ids(message, "toolUse");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
