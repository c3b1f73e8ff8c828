//! Bounds the bodies that the SDK reads completely: those of errors and of unary calls.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_smithy_types::body::{Error, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame};

/// The maximum number of bytes of an error. Bedrock's errors have a few hundred.
pub(super) const ERROR: usize = 64 << 10;

/// The maximum number of bytes of a unary response. A token count has less than a hundred.
pub(super) const UNARY: usize = 1 << 20;

/// The first bytes of a body. The rest is not read, and the connection is released.
struct Cut {
    body: SdkBody,
    left: usize,
}

/// Bounds a body to this many bytes.
pub(super) fn at_most(body: SdkBody, bytes: usize) -> SdkBody {
    SdkBody::from_body_1_x(Cut { body, left: bytes })
}

impl Body for Cut {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let left = &mut self.left;
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    data.truncate(*left);
                    *left -= data.len();
                    data
                })
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_ends_at_its_limit_and_a_shorter_one_is_whole() {
        let cut = async |limit| at_most(SdkBody::from("twelve bytes"), limit).collect().await.unwrap().to_bytes();
        assert_eq!(cut(6).await, "twelve");
        assert_eq!(cut(12).await, "twelve bytes");
        assert_eq!(cut(13).await, "twelve bytes");
    }
}
