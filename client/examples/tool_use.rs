//! Lets the model use a tool: asks, carries out what it wants, sends the result back, until it has its answer.
//!
//! Run with `cargo run -p outcrop-client --example tool_use` beside `cargo run -- serve --local`.

use std::{error::Error, io::Write};

use outcrop_client::{
    Client, json,
    proto::{
        ContentBlock, GenerateRequest, Message, Role, StopReason, ToolResultBlock, ToolUseBlock, content_block::Block,
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::var("OUTCROP_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:50051".to_owned());
    let client = Client::connect(&endpoint).await?;
    let mut request: GenerateRequest = json::read(
        "outcrop.v1.GenerateRequest",
        r#"{
            "model": "emulator.tools",
            "messages": [{"role": "ROLE_USER", "content": [{"text": "How is the weather in Paris?"}]}],
            "toolConfig": {"tools": [{"toolSpec": {
                "name": "get_weather",
                "description": "The weather of a city",
                "inputSchema": {"json": {
                    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]
                }}
            }}]}
        }"#,
    )
    .map_err(|error| error.to_string())?;
    loop {
        let answer = client.generate(request.clone()).await?.answer().await?;
        if answer.finish.stop_reason() != StopReason::ToolUse {
            writeln!(std::io::stdout(), "{}", answer.text())?;
            return Ok(());
        }
        let results = answer.tool_uses().map(carry_out).collect();
        // The whole answer goes back, with its ids and signatures, and then the results.
        request.messages.push(answer.message);
        request.messages.push(Message { role: Role::User.into(), content: results });
    }
}

/// Does what the model wants; here the weather is always the same.
fn carry_out(tool: &ToolUseBlock) -> ContentBlock {
    let result = ToolResultBlock {
        tool_use_id: tool.tool_use_id.clone(),
        content: vec![
            json::read("outcrop.v1.ToolResultContentBlock", r#"{"json": {"sky": "clear"}}"#).unwrap_or_default(),
        ],
        ..ToolResultBlock::default()
    };
    ContentBlock { block: Some(Block::ToolResult(result)) }
}
