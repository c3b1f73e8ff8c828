//! Trailers of an answer that is OK, which tonic has no place for.

use axum::body::Body;
use axum::{extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;

/// Trailers that the answer with this extension has beside its status.
#[derive(Clone, Debug)]
pub(crate) struct Trailers(pub(crate) HeaderMap);

/// The layer that adds them.
pub(crate) async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Trailers>() {
        Some(Trailers(more)) => response.map(|body| Body::new(body.map_frame(move |frame| with(frame, &more)))),
        None => response,
    }
}

fn with<D>(frame: Frame<D>, more: &HeaderMap) -> Frame<D> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            for (name, value) in more {
                trailers.append(name, value.clone());
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
