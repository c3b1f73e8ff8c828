//! Callers of `Generate` over gRPC, and of Bedrock itself, which read one answer in the same way.

use std::{fs, path::Path, sync::Arc};

use aws_sdk_bedrockruntime::{
    primitives::event_stream::EventReceiver,
    types::{ContentBlockDelta, ConverseStreamOutput, error::ConverseStreamOutputError},
};
use outcrop_client::proto::{
    Chunk, GenerateRequest, InferenceConfiguration, chunk::Event, generation_service_client::GenerationServiceClient,
};
use tonic::{
    Request, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    Failure,
    bridge::sdk,
    pool::{Pool, Slot},
    process::Program,
    upstream::OUTPUT_TOKENS,
};

/// The windows of a stream and of a connection, in bytes, so that callers never hold an answer back.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// The most tokens that an answer may have.
const MAX_TOKENS: i32 = 1_000;

type Receiver = EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>;

/// Callers.
#[derive(Debug)]
pub(crate) enum Callers {
    /// Over gRPC, on these connections in turn.
    Grpc {
        /// The connections.
        connections: Vec<GenerationServiceClient<Channel>>,
        /// The header with their API key.
        authorization: MetadataValue<Ascii>,
    },
    /// With the AWS SDK, without a server.
    Direct(Pool<aws_sdk_bedrockruntime::Client>),
}

/// An answer that is being read.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Over gRPC.
    Grpc(Chunks),
    /// With the AWS SDK.
    Direct(Events),
}

/// An answer over gRPC.
#[derive(Debug)]
pub(crate) struct Chunks {
    stream: Streaming<Chunk>,
    /// The number of the next chunk.
    sequence: u32,
    is_finished: bool,
}

/// An answer of Bedrock.
#[derive(Debug)]
pub(crate) struct Events {
    receiver: Receiver,
    is_stopped: bool,
    is_finished: bool,
    _slot: Slot,
}

impl Callers {
    /// Connects so many times to a server. With its certificate it uses TLS.
    ///
    /// # Errors
    /// If it cannot connect.
    pub(crate) async fn connect(
        program: &Program,
        connections: usize,
        key: &str,
        certificate: Option<&Path>,
    ) -> Result<Arc<Self>, Failure> {
        let port = program.address.port();
        let mut endpoint = Endpoint::from_shared(match certificate {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://{}", program.address),
        })?;
        if let Some(certificate) = certificate {
            let trusted = Certificate::from_pem(fs::read(certificate)?);
            endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(trusted))?;
        }
        let endpoint =
            endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let mut connected = Vec::new();
        for _ in 0..connections {
            let channel = endpoint.connect().await?;
            connected.push(GenerationServiceClient::new(channel).max_decoding_message_size(usize::MAX));
        }
        let authorization = format!("Bearer {key}").parse()?;
        Ok(Arc::new(Self::Grpc { connections: connected, authorization }))
    }

    /// Callers that use the AWS SDK.
    pub(crate) async fn direct(upstream: &str) -> Arc<Self> {
        Arc::new(Self::Direct(sdk::clients(upstream).await))
    }

    /// Asks for an answer. `number` is that of the stream.
    ///
    /// # Errors
    /// If the call fails.
    pub(crate) async fn ask(&self, number: usize, model: &str) -> Result<Answer, Failure> {
        let config = InferenceConfiguration { max_tokens: Some(MAX_TOKENS), ..InferenceConfiguration::default() };
        let request = GenerateRequest {
            model: model.to_owned(),
            prompt: "hi".to_owned(),
            inference_config: Some(config),
            ..GenerateRequest::default()
        };
        match self {
            Self::Grpc { connections, authorization } => {
                let connection = connections.get(number % connections.len()).ok_or("there is no connection")?;
                let mut request = Request::new(request);
                request.metadata_mut().insert("authorization", authorization.clone());
                // Boxed, because the future of a request is large, and that of every stream would be.
                let stream = Box::pin(connection.clone().generate(request)).await?.into_inner();
                Ok(Answer::Grpc(Chunks { stream, sequence: 0, is_finished: false }))
            }
            Self::Direct(clients) => {
                let (client, slot) = clients.client();
                let receiver = Box::pin(sdk::converse_stream(&client, &request)).await?;
                Ok(Answer::Direct(Events { receiver, is_stopped: false, is_finished: false, _slot: slot }))
            }
        }
    }
}

impl Answer {
    /// The next text. `None` after the end of an answer that is whole.
    ///
    /// # Errors
    /// If the call fails, or the answer breaks the contract.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Grpc(chunks) => chunks.next().await,
            Self::Direct(events) => events.next().await,
        }
    }
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        while let Some(chunk) = self.stream.message().await? {
            if chunk.sequence != Some(self.sequence) || self.is_finished {
                return Err(format!("{chunk:?} came in place of chunk {}", self.sequence).into());
            }
            self.sequence += 1;
            match chunk.event {
                Some(Event::Text(text)) => return Ok(Some(text)),
                Some(Event::Start(_) | Event::BlockStop(_)) => {}
                Some(Event::Finish(finish)) => {
                    let output = finish.usage.and_then(|usage| usage.output_tokens);
                    self.is_finished = finish.stop_reason_name == "end_turn" && output == Some(OUTPUT_TOKENS.into());
                }
                other => return Err(format!("{other:?} is not part of the answer").into()),
            }
        }
        if self.is_finished { Ok(None) } else { Err("the answer has no right finish, and its status is OK".into()) }
    }
}

impl Events {
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        while let Some(event) = self.receiver.recv().await? {
            match event {
                ConverseStreamOutput::ContentBlockDelta(event) => match event.delta {
                    Some(ContentBlockDelta::Text(text)) => return Ok(Some(text)),
                    other => return Err(format!("{other:?} is not part of the answer").into()),
                },
                ConverseStreamOutput::MessageStop(_) => self.is_stopped = true,
                ConverseStreamOutput::Metadata(event) => {
                    let output = event.usage.map(|usage| usage.output_tokens);
                    self.is_finished = self.is_stopped && output == Some(OUTPUT_TOKENS.into());
                }
                _ => {}
            }
        }
        if self.is_finished { Ok(None) } else { Err("the answer of Bedrock is not whole".into()) }
    }
}
