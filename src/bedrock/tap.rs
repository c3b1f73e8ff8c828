//! An SDK interceptor that takes the body of a stream before the SDK reads it, and notes how each attempt went.
//!
//! Comes between [`super::converse`], which makes the operation it is attached to, and [`super::frames`], which reads
//! the body. The SDK is left with an empty body, which it takes for an empty stream.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
                FinalizerInterceptorContextRef,
            },
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};

use super::classify;
use crate::{error::Reason, proto::Attempt};

/// One per call; clones share what they see.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    model_id: String,
    region: String,
    takes_body: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    body: Option<SdkBody>,
    attempts: Vec<Attempt>,
    request_id: String,
}

impl Tap {
    /// For an operation whose answer is a stream.
    pub(super) fn of_stream(model_id: String, region: String) -> Self {
        Self { model_id, region, takes_body: true, seen: Arc::default() }
    }

    /// For an operation whose answer the SDK reads itself.
    pub(super) fn of_unary(model_id: String, region: String) -> Self {
        Self { takes_body: false, ..Self::of_stream(model_id, region) }
    }

    /// The body, if Bedrock agreed; the attempts; the request id of the last answer.
    pub(super) fn into_parts(self) -> (Option<SdkBody>, Vec<Attempt>, String) {
        let seen = mem::take(&mut *self.seen());
        (seen.body, seen.attempts, seen.request_id)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Tap {
    fn name(&self) -> &'static str {
        "outcrop::Tap"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A compressed stream is held back until there is enough to compress.
        context.request_mut().headers_mut().insert("accept-encoding", "identity");
        let attempt = Attempt { model_id: self.model_id.clone(), region: self.region.clone(), reason: String::new() };
        self.seen().attempts.push(attempt);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let mut seen = self.seen();
        seen.request_id = classify::request_id(response.headers());
        if self.takes_body && response.status().is_success() {
            seen.body = Some(mem::replace(response.body_mut(), SdkBody::empty()));
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(Err(_)), Some(attempt)) = (context.output_or_error(), self.seen().attempts.last_mut()) {
            let reason = context.response().map_or(Reason::UpstreamUnreachable, classify::response_reason);
            reason.name().clone_into(&mut attempt.reason);
        }
        Ok(())
    }
}
