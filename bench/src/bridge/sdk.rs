//! The bridge over the AWS SDK: what a program of one's own would be, with the types of the SDK.

use std::pin::Pin;

use aws_config::BehaviorVersion;
use aws_sdk_bedrockruntime::{
    Client,
    config::{Credentials, StalledStreamProtectionConfig},
    error::DisplayErrorContext,
    primitives::event_stream::EventReceiver,
    types::{
        ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput as Event, InferenceConfiguration,
        Message, error::ConverseStreamOutputError,
    },
};
use futures_util::stream;
use outcrop_contract::v1::{Chunk, GenerateRequest};
use tokio_stream::Stream;
use tonic::Status;

use super::{Answers, Numbered, Settings, failed};
use crate::{
    Failure,
    pool::{Pool, Slot},
};

/// The bridge.
struct Sdk {
    clients: Pool<Client>,
}

/// An answer of the SDK.
struct Receiving {
    model: String,
    events: EventReceiver<Event, ConverseStreamOutputError>,
    numbered: Numbered,
    _slot: Slot,
}

/// Runs the bridge until the process is killed.
///
/// # Errors
/// If it cannot listen.
pub(crate) fn serve(settings: Settings) -> Result<(), Failure> {
    super::serve(settings, async |upstream| Ok(Sdk { clients: clients(&upstream).await }))
}

/// SDK clients of an upstream.
pub(crate) async fn clients(upstream: &str) -> Pool<Client> {
    let credentials = Credentials::new("id", "secret", None, None, "bench");
    let loader = aws_config::defaults(BehaviorVersion::latest()).credentials_provider(credentials);
    // Streams with long pauses are part of the load.
    let loader = loader.stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let config = loader.region("us-east-1").endpoint_url(upstream).load().await;
    Pool::new(move || Client::new(&config))
}

/// A call of an SDK client.
///
/// # Errors
/// If Bedrock does not answer with a stream.
pub(crate) async fn converse_stream(
    client: &Client,
    request: &GenerateRequest,
) -> Result<EventReceiver<Event, ConverseStreamOutputError>, Failure> {
    let text = ContentBlock::Text(request.prompt.clone());
    let message = Message::builder().role(ConversationRole::User).content(text).build()?;
    let max_tokens = request.inference_config.as_ref().and_then(|config| config.max_tokens);
    let config = InferenceConfiguration::builder().set_max_tokens(max_tokens).build();
    let call = client.converse_stream().model_id(&request.model).messages(message).inference_config(config);
    Ok(call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?.stream)
}

impl Answers for Sdk {
    type Chunks = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn answer(&self, request: GenerateRequest) -> Result<Self::Chunks, Status> {
        let (client, slot) = self.clients.client();
        let events = converse_stream(&client, &request).await.map_err(failed)?;
        let receiving = Receiving { model: request.model, events, numbered: Numbered::default(), _slot: slot };
        Ok(Box::pin(stream::try_unfold(receiving, |mut receiving| async {
            Ok(receiving.next().await?.map(|chunk| (chunk, receiving)))
        })))
    }
}

impl Receiving {
    async fn next(&mut self) -> Result<Option<Chunk>, Status> {
        while let Some(event) = self.events.recv().await.map_err(failed)? {
            let numbered = &mut self.numbered;
            return Ok(Some(match event {
                Event::MessageStart(_) => numbered.start(&self.model),
                Event::ContentBlockDelta(event) => match event.delta {
                    Some(ContentBlockDelta::Text(text)) => numbered.text(event.content_block_index, text),
                    _ => return Err(failed("the delta is not text")),
                },
                Event::ContentBlockStop(event) => numbered.block_stop(event.content_block_index),
                Event::MessageStop(event) => {
                    event.stop_reason.as_str().clone_into(&mut numbered.stop_reason);
                    continue;
                }
                Event::Metadata(event) => {
                    let usage = event.usage.ok_or_else(|| failed("there is no usage"))?;
                    numbered.finish([usage.input_tokens, usage.output_tokens, usage.total_tokens])
                }
                _ => return Err(failed("the event is not known")),
            }));
        }
        self.numbered.end().transpose()
    }
}
