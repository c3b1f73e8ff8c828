//! The codec of the methods: that of tonic-prost, with buffers as small as chunks.
//!
//! tonic makes a buffer for each stream when it begins, and keeps it until it ends. Most streams wait most of the time.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec as TonicCodec};
use tonic_prost::ProstCodec;

/// The first size of a buffer for answers, in bytes. A chunk of text has about a hundred; a buffer grows for what is longer.
const BUFFER: usize = 256;

/// After so many bytes an answer is sent, although more chunks are there. As in tonic.
const ENOUGH: usize = 32 << 10;

/// Decodes requests and encodes answers.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as TonicCodec>::Encoder;
    type Decoder = <ProstCodec<T, U> as TonicCodec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, ENOUGH))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::default().decoder()
    }
}
