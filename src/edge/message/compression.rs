//! Decompresses a message within the memory for requests.

use std::io::Read;

use bytes::{BufMut, BytesMut};
use flate2::read::GzDecoder;
use tokio::task::yield_now;

use super::{PREFIX, too_large};
use crate::{
    admission::request_memory::MemoryPermit,
    error::{Error, Reason},
};

/// How much is decompressed at a time, in bytes. Other calls run in between.
const STEP: usize = 256 << 10;

/// The message, which has a prefix, with one that says that it is not compressed.
///
/// # Errors
/// `MESSAGE_TOO_LARGE` if there are more than `most` bytes, `LOCAL_LIMIT` if there is no memory for them, `MALFORMED_REQUEST`.
pub(super) async fn decompressed(received: &[u8], most: usize, permit: &MemoryPermit) -> Result<BytesMut, Error> {
    let compressed = received.get(PREFIX..).unwrap_or_default();
    let mut decoder = GzDecoder::new(compressed);
    let mut plain = BytesMut::zeroed(PREFIX);
    loop {
        // One byte more than is allowed, so that more is noticed.
        let room = STEP.min((most + 1 + PREFIX).saturating_sub(plain.len()));
        let mut part = (&mut decoder).take(room as u64);
        let before = plain.len();
        permit.grow(room as u64)?;
        std::io::copy(&mut part, &mut (&mut plain).writer()).map_err(|error| {
            let message = format!("the request cannot be decompressed: {error}. Send valid gzip, or no compression");
            Error::new(Reason::MalformedRequest, message)
        })?;
        let added = plain.len() - before;
        permit.shrink((room - added) as u64);
        if plain.len() > PREFIX + most {
            return Err(too_large(&format!("the message decompresses to more than {most} bytes")));
        }
        if added < room {
            break;
        }
        yield_now().await;
    }
    permit.shrink(received.len() as u64);
    let length = u32::try_from(plain.len() - PREFIX).map_err(|_| too_large("the message is too long"))?;
    if let Some(mut prefix) = plain.get_mut(1..PREFIX) {
        prefix.put_u32(length);
    }
    Ok(plain)
}
