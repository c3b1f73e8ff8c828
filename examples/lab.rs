//! What the workshop lab's library does (an LLM with its parameters, and a function that streams an answer to a callback),
//! through Outcrop: the body that reaches Bedrock is the lab's, parameter by parameter.
//!
//! Run with `cargo run --example lab -- "a prompt"` beside `cargo run -- serve --local`.

use std::{
    error::Error,
    io::{Write, stdout},
};

use outcrop_client::{
    Client, ClientError, json,
    proto::{GenerateRequest, InferenceConfiguration, OperationChoice, chunk::Event},
};

/// The lab's `get_llm`: the model and its parameters.
fn llm() -> Result<GenerateRequest, json::Error> {
    let inference_config = InferenceConfiguration {
        max_tokens: Some(4_000),
        temperature: Some(0.0),
        top_p: Some(0.01),
        ..InferenceConfiguration::default()
    };
    let own = json::parse_object(r#"{"k": 0, "stop_sequences": [], "return_likelihoods": "NONE"}"#)?;
    Ok(GenerateRequest {
        model: "cohere.command-text-v14".to_owned(),
        operation: OperationChoice::Native.into(),
        inference_config: Some(inference_config),
        additional_model_request_fields: Some(own),
        ..GenerateRequest::default()
    })
}

/// The lab's `get_streaming_response`: the answer of a model to a prompt, piece by piece.
async fn streaming_response(
    client: &Client,
    llm: GenerateRequest,
    prompt: String,
    mut callback: impl FnMut(&str),
) -> Result<(), ClientError> {
    let mut chunks = client.generate(GenerateRequest { prompt, ..llm }).await?;
    while let Some(chunk) = chunks.next().await? {
        if let Some(Event::Text(text)) = chunk.event {
            callback(&text);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let endpoint = std::env::var("OUTCROP_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:50051".to_owned());
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "hi".to_owned());
    let client = Client::connect(&endpoint).await?;
    let mut written = Ok(());
    streaming_response(&client, llm()?, prompt, |text| {
        let mut out = stdout();
        written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    })
    .await?;
    written?;
    writeln!(stdout())?;
    Ok(())
}
