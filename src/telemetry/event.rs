//! The one event of a call in the log. docs/observe.md lists its fields.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::{
    admission::client::ClientId,
    error::{CallContext, Error},
    identity::Identity,
    outcome::{CallSummary, Outcome, pace::Pace},
};

/// What else is known of a call that has ended.
pub(super) struct Circumstances<'a> {
    pub(super) generation_id: &'a str,
    /// The client that sent it.
    pub(super) client: Option<&'a ClientId>,
    /// The trace that it is part of.
    pub(super) trace_id: Option<&'a str>,
    /// Whether it is a call of the generation service. Load balancers and tools ask the others many times.
    pub(super) is_for_callers: bool,
}

/// Logs a call that has ended.
pub(super) fn log(summary: &CallSummary<'_>, at: &Circumstances<'_>) {
    let Circumstances { generation_id, client, trace_id, is_for_callers } = *at;
    let caller = summary.identity.map(Identity::caller);
    let tenant = Some(summary.tenant()).filter(|tenant| !tenant.is_empty());
    let client = client.map(ToString::to_string);
    let CallSummary { method, stop_reason, outcome, used, pace, .. } = summary;
    let CallContext { model_id, region, request_id, attempts } = summary.attempts;
    let [model, model_id, region, request_id] =
        [summary.model, model_id, region, request_id].map(|text| Some(text).filter(|text| !text.is_empty()));
    let (attempts, chunks) = (attempts.len(), pace.map(Pace::number));
    let (first_content_ms, duration_ms) = (summary.first_content.map(millis), millis(summary.duration));
    let (input_tokens, output_tokens) = (used.map(|used| used.input), used.map(|used| used.output));
    let (cache_read_tokens, cache_write_tokens) = (used.map(|used| used.cache_read), used.map(|used| used.cache_write));
    let error = outcome.error();
    let reason = error.map(|error| error.reason().name());
    let phase = error.map(|error| error.phase().name());
    let error_text = error.map(Error::for_log);
    let error_text = error_text.as_deref();
    let (name, outcome) = (outcome.name(), *outcome);
    // The level of an event is fixed where it is written, so each level has its own.
    macro_rules! event {
        ($level:ident, $($words:tt)*) => {
            $level!(
                generation_id, method, outcome = name, caller, tenant, client, model, model_id, region, request_id, attempts, chunks,
                first_content_ms, duration_ms, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, stop_reason, reason,
                phase, error = error_text, trace_id, $($words)*
            )
        };
    }
    match outcome {
        Outcome::Answered if is_for_callers => event!(info, "answered"),
        Outcome::Answered => event!(debug, "answered"),
        Outcome::Finished => event!(info, "finished"),
        Outcome::Left => event!(info, "the caller left before it was answered"),
        Outcome::Abandoned { mode, result } => event!(info, mode, "abandoned by the caller: {result}"),
        Outcome::Refused(error) if error.reason().is_of_any_client() => event!(debug, "refused"),
        Outcome::Refused(_) => event!(warn, "refused"),
        Outcome::Failed(_) => event!(warn, "failed"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
