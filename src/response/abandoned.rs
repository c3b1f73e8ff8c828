//! Abandoned calls: cancels them, or drains them to learn their usage.
//!
//! Drains are bounded in number, time and memory. The shutdown waits for them as for any stream.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use crate::{
    error::Error,
    outcome::Answer,
    proto::AbandonmentMode,
    response::{pending::PendingResponse, reader::ResponseReader, usage::UsageAccounting},
    shutdown::InFlight,
};

/// The longest frame that a drain reads. Frames without images have a few hundred bytes.
const LONGEST_FRAME: usize = 1 << 20;

/// What happens to abandoned calls.
#[derive(Clone, Copy, Debug)]
pub struct AbandonmentSettings {
    /// The mode of calls that set none.
    pub mode: AbandonmentMode,
    /// The time for a drain.
    pub drain_time: Duration,
    /// The maximum number of drains. Further calls are cancelled.
    pub drains: usize,
}

impl Default for AbandonmentSettings {
    fn default() -> Self {
        Self { mode: AbandonmentMode::Cancel, drain_time: Duration::from_mins(5), drains: 100 }
    }
}

/// Cancels or drains abandoned calls. Clones share the limit.
#[derive(Clone, Debug)]
pub(crate) struct AbandonedCalls {
    settings: AbandonmentSettings,
    drains: Arc<Semaphore>,
}

/// The state of a call that was abandoned.
#[derive(Debug)]
pub(crate) enum AbandonedCall {
    /// It has no content yet.
    Pending(PendingResponse),
    /// It is in the middle of an answer.
    Reading(Box<ResponseReader>),
}

impl AbandonedCalls {
    pub(crate) fn new(settings: AbandonmentSettings) -> Self {
        Self { settings, drains: Arc::new(Semaphore::new(settings.drains.min(Semaphore::MAX_PERMITS))) }
    }

    /// Cancels or drains a call. `mode` is that of the request; `UNSPECIFIED` selects the server's.
    pub(crate) fn abandon(
        &self,
        call: AbandonedCall,
        mode: AbandonmentMode,
        mut accounting: UsageAccounting,
        in_flight: &InFlight,
    ) {
        let mode = if mode == AbandonmentMode::Unspecified { self.settings.mode } else { mode };
        let permit = Arc::clone(&self.drains).try_acquire_owned();
        let (AbandonmentMode::Drain, Ok(permit), Ok(runtime)) = (mode, permit, Handle::try_current()) else {
            return cancel(&call, accounting);
        };
        let time = self.settings.drain_time;
        accounting.draining();
        let revoked = in_flight.revoked();
        in_flight.spawn(&runtime, async move {
            let mut answer = None;
            let result = tokio::select! {
                biased;
                () = revoked => "the drain was ended by the shutdown".to_owned(),
                result = timeout(time, drain(call, &mut answer)) => match result {
                    Ok(Ok(())) => "the answer was drained".to_owned(),
                    Ok(Err(error)) => format!("the drain failed ({})", error.for_log()),
                    Err(_) => format!("the drain was ended after {time:?}"),
                },
            };
            let answer = answer.as_deref().map(ResponseReader::answer).unwrap_or_default();
            accounting.drained(&answer, &result);
            drop(permit);
        });
    }
}

/// Reads to the end of the answer. `answer` is set as soon as there is one, so that its usage is known if the drain is ended.
async fn drain(call: AbandonedCall, answer: &mut Option<Box<ResponseReader>>) -> Result<(), Error> {
    let reader = match call {
        AbandonedCall::Pending(response) => response.await?,
        AbandonedCall::Reading(reader) => reader,
    };
    answer.insert(reader).drain(LONGEST_FRAME).await
}

fn cancel(call: &AbandonedCall, accounting: UsageAccounting) {
    match call {
        AbandonedCall::Pending(_) => accounting.cancelled(&Answer::default()),
        AbandonedCall::Reading(reader) => accounting.cancelled(&reader.answer()),
    }
}
