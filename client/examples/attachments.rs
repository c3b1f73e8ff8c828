//! Sends a picture and a document with a question, caches what comes before it, and counts the tokens first.
//!
//! Run with `cargo run -p outcrop-client --example attachments` beside `cargo run -- serve --local`.

use std::{error::Error, io::Write};

use outcrop_client::{
    Client,
    proto::{
        CachePointBlock, ContentBlock, CountTokensRequest, DocumentBlock, DocumentSource, GenerateRequest, ImageBlock,
        ImageSource, Message, Role, chunk::Event, content_block::Block, document_source, image_source,
    },
};

/// The smallest PNG there is.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff\xff\x7f\0\x09\xfb\x03\xfd\x05CE\xca\0\0\0\0IEND\xaeB`\x82";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::var("OUTCROP_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:50051".to_owned());
    let client = Client::connect(&endpoint).await?;
    let image = ImageSource { source: Some(image_source::Source::Bytes(PICTURE.into())) };
    let document = DocumentSource { source: Some(document_source::Source::Text("Cats sleep a lot.".into())) };
    let content = [
        Block::Document(DocumentBlock { name: "On cats".into(), source: Some(document), ..DocumentBlock::default() }),
        Block::CachePoint(CachePointBlock { r#type: "default".into(), ttl: String::new() }),
        Block::Image(ImageBlock { format: "png".into(), source: Some(image), error: None }),
        Block::Text("Does the picture fit the text?".into()),
    ];
    let content = content.into_iter().map(|block| ContentBlock { block: Some(block) }).collect();
    let messages = vec![Message { role: Role::User.into(), content }];
    let count = CountTokensRequest { messages: messages.clone(), ..CountTokensRequest::default() };
    let mut out = std::io::stdout();
    writeln!(out, "{} tokens", client.count_tokens(count).await?)?;
    let mut chunks = client.generate(GenerateRequest { messages, ..GenerateRequest::default() }).await?;
    while let Some(chunk) = chunks.next().await? {
        if let Some(Event::Text(text)) = chunk.event {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    writeln!(out)?;
    Ok(())
}
