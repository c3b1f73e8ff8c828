//! Receives the message of a call whole, before any method sees it: within its time, within the memory for requests, and within the
//! maxima of the contract.
//!
//! A message begins with its length. The memory for it is taken then, before it is sent.
//! A call that exceeds the memory is refused at once and does not wait. A call that waits does not read, and what it does not read
//! fills the window that all calls of its connection share.
//!
//! - `compression` what a compressed message decompresses to
//! - `maxima` how many entries a message may have, and what it takes when it is decoded
//! - `shapes` the descriptors of the contract, made ready for that

mod compression;
mod maxima;
mod shapes;

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::Request};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderValue;
use http_body::Body as _;
use http_body_util::{BodyExt, Collected};
use prost::DecodeError;
use tokio::time::{Instant, timeout_at};

use self::shapes::Shapes;
use crate::{
    admission::{
        client::ClientId,
        request_memory::{MemoryPermit, RequestMemory},
    },
    cores::leave_if_large,
    edge::connect::ConnectCall,
    error::{Error, Reason},
    proto::FILE_DESCRIPTOR_SET,
};

/// What comes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How much longer than the body timeout a message may take: a second for so many bytes, which is 2 Mbit/s.
const LEAST_RATE: u64 = 256 << 10;

/// What an entry of JSON takes, in bytes.
const ENTRY: u64 = 64;

/// How messages are received. Clones share the memory.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    memory: RequestMemory,
    /// The messages of the contract.
    shapes: Arc<Shapes>,
    max_bytes: usize,
    timeout: Duration,
}

/// A message, or a body without the prefix of a message, on its way in.
struct Receiving<'a> {
    messages: &'a Messages,
    permit: &'a MemoryPermit,
    received: BytesMut,
    /// Whether its length stands before it.
    has_prefix: bool,
}

impl Messages {
    /// Messages of at most `max_bytes`, also when they are decompressed. `timeout` is how long a caller may send nothing, and how long
    /// a message may take beyond the time for [`LEAST_RATE`].
    ///
    /// # Errors
    /// If the descriptors of the contract cannot be decoded.
    pub(crate) fn new(memory: RequestMemory, max_bytes: usize, timeout: Duration) -> Result<Self, DecodeError> {
        Ok(Self { memory, shapes: Arc::new(Shapes::of(FILE_DESCRIPTOR_SET)?), max_bytes, timeout })
    }

    /// The request with its message received, and the memory that it has taken. The permit is to be held until the message is dropped.
    ///
    /// # Errors
    /// `BODY_TIMEOUT`, `LOCAL_LIMIT`, `MESSAGE_TOO_LARGE`, `MALFORMED_REQUEST`, `CARDINALITY_VIOLATION`, `INVALID_REQUEST`,
    /// `CALLER_CANCELLED`.
    pub(crate) async fn receive(
        &self,
        client: &ClientId,
        request: Request,
    ) -> Result<(Request, Arc<MemoryPermit>), Error> {
        if let Some(call) = request.extensions().get::<ConnectCall>().cloned() {
            return self.receive_connect(client, request, &call).await;
        }
        let permit = Arc::new(self.memory.permit(client.clone()));
        let compressed = match request.headers().get("grpc-encoding").map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            // gRPC refuses it by its headers, and says what it accepts.
            Some(_) => return Ok((request, permit)),
        };
        let (mut parts, body) = request.into_parts();
        let receiving = Receiving { messages: self, permit: &permit, received: BytesMut::new(), has_prefix: true };
        let mut received = receiving.all(body).await?;
        leave_if_large(received.len() as u64).await;
        if compressed && received.first() == Some(&1) {
            received = compression::decompressed(&received, self.max_bytes, &permit).await?;
            leave_if_large(received.len() as u64).await;
            parts.headers.remove("grpc-encoding");
        }
        if let Some(message) = received.get(PREFIX..) {
            // Before it is decoded: entries without content take many times their bytes.
            permit.grow(self.shapes.check(parts.uri.path(), message)?)?;
        }
        Ok((Request::from_parts(parts, Body::from(received.freeze())), permit))
    }

    /// The same for a call of Connect.
    async fn receive_connect(
        &self,
        client: &ClientId,
        request: Request,
        call: &ConnectCall,
    ) -> Result<(Request, Arc<MemoryPermit>), Error> {
        let (request, permit) = self.receive_body(client, request).await?;
        let (parts, body) = request.into_parts();
        // It is there already.
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        let decoding = call.decoding_takes(&body);
        permit.grow(decoding)?;
        let framed = call.framed(&body)?;
        permit.shrink(decoding);
        if let Some(message) = framed.get(PREFIX..) {
            permit.grow(framed.len() as u64 + self.shapes.check(parts.uri.path(), message)?)?;
        }
        Ok((Request::from_parts(parts, Body::from(framed)), permit))
    }

    /// The same for a request whose body is its message.
    ///
    /// # Errors
    /// `BODY_TIMEOUT`, `LOCAL_LIMIT`, `MESSAGE_TOO_LARGE`, `CALLER_CANCELLED`.
    pub(crate) async fn receive_body(
        &self,
        client: &ClientId,
        request: Request,
    ) -> Result<(Request, Arc<MemoryPermit>), Error> {
        let permit = Arc::new(self.memory.permit(client.clone()));
        let (parts, body) = request.into_parts();
        let declared = body.size_hint().exact().unwrap_or_default();
        let declared = usize::try_from(declared).unwrap_or(usize::MAX);
        let mut receiving = Receiving { messages: self, permit: &permit, received: BytesMut::new(), has_prefix: false };
        receiving.expect(declared)?;
        let received = receiving.all(body).await?.freeze();
        leave_if_large(received.len() as u64).await;
        // What it takes when it is read as JSON, where `[1,1]` takes many times its bytes.
        let entries = received.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count() as u64;
        permit.grow(received.len() as u64 + entries * ENTRY)?;
        Ok((Request::from_parts(parts, Body::from(received)), permit))
    }
}

impl Receiving<'_> {
    /// The message with its prefix. An incomplete one is for the gRPC library to refuse.
    async fn all(mut self, mut body: Body) -> Result<BytesMut, Error> {
        let began = Instant::now();
        let mut last = began;
        loop {
            let timeout = self.messages.timeout;
            let earned = Duration::from_millis(self.received.len() as u64 * 1_000 / LEAST_RATE);
            let until = (last + timeout).min(began + timeout + earned);
            match timeout_at(until, body.frame()).await {
                Ok(None) if self.received.is_empty() && self.has_prefix => {
                    let message = "the call has no message. This method takes one message";
                    return Err(Error::new(Reason::CardinalityViolation, message));
                }
                Ok(None) => return Ok(self.received),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        last = Instant::now();
                        self.add(&data)?;
                    }
                }
                Ok(Some(Err(error))) => {
                    let message = "the caller left before its message was received";
                    return Err(Error::new(Reason::CallerCancelled, message).with_source(error));
                }
                Err(_) => {
                    let (received, after) = (self.received.len(), began.elapsed());
                    let message = format!(
                        "the message was not received in time: {received} bytes came within {after:.1?}. \
                         Send it without a pause of {timeout:?} and faster than {LEAST_RATE} bytes a second, or raise --body-timeout on the server"
                    );
                    return Err(Error::new(Reason::BodyTimeout, message));
                }
            }
        }
    }

    /// Takes the memory for so many bytes.
    fn expect(&mut self, bytes: usize) -> Result<(), Error> {
        let most = self.messages.max_bytes;
        if bytes > most {
            return Err(too_large(&format!("the body has more than {most} bytes")));
        }
        let more = bytes.saturating_sub(self.received.capacity());
        self.permit.grow(more as u64)?;
        self.received.reserve(bytes.saturating_sub(self.received.len()));
        Ok(())
    }

    fn add(&mut self, data: &Bytes) -> Result<(), Error> {
        if !self.has_prefix {
            self.expect(self.received.len().saturating_add(data.len()))?;
            self.received.put_slice(data);
            return Ok(());
        }
        let known = self.received.len() >= PREFIX;
        self.received.put_slice(data);
        let Some(mut prefix) = self.received.get(..PREFIX) else { return Ok(()) };
        prefix.advance(1);
        let (length, most) = (prefix.get_u32() as usize, self.messages.max_bytes);
        if !known {
            if length > most {
                return Err(too_large(&format!("the message has {length} bytes; at most {most} bytes are taken")));
            }
            // All at once: otherwise many callers would send halves that do not fit together.
            self.permit.grow((PREFIX + length) as u64)?;
            self.received.reserve((PREFIX + length).saturating_sub(self.received.len()));
        }
        if self.received.len() > PREFIX + length {
            let message = format!("more follows the message of {length} bytes. This method takes one message");
            return Err(Error::new(Reason::CardinalityViolation, message));
        }
        Ok(())
    }
}

fn too_large(what: &str) -> Error {
    Error::new(Reason::MessageTooLarge, format!("{what}. Send less, or raise --max-request-bytes on the server"))
}

#[cfg(test)]
mod tests;
