//! Calls whose callers have left, read on to their end where that is wanted, so that what they used is known.
//!
//! They are bounded in number, time and memory, and the shutdown waits for them as for any stream.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use crate::{
    error::Error,
    proto::AbandonmentMode,
    response::{pending::PendingResponse, reader::ResponseReader, usage::UsageAccounting},
    shutdown::InFlight,
};

/// The longest frame that is read of an abandoned answer. Bedrock's are a few hundred bytes, those with pictures apart.
const LONGEST_FRAME: usize = 1 << 20;

/// What happens to calls whose callers leave.
#[derive(Clone, Copy, Debug)]
pub struct AbandonmentSettings {
    /// What happens to a call that does not say.
    pub mode: AbandonmentMode,
    /// How long one may be read on.
    pub drain_time: Duration,
    /// How many may be read on at once; what is more is closed.
    pub drains: usize,
}

impl Default for AbandonmentSettings {
    fn default() -> Self {
        Self { mode: AbandonmentMode::Cancel, drain_time: Duration::from_mins(5), drains: 100 }
    }
}

/// Reads on what callers have left; clones share the room for it.
#[derive(Clone, Debug)]
pub(crate) struct AbandonedCalls {
    settings: AbandonmentSettings,
    room: Arc<Semaphore>,
}

/// A call as its caller left it.
#[derive(Debug)]
pub(crate) enum Left {
    /// Without any content yet.
    Pending(PendingResponse),
    /// In the middle of an answer.
    Reading(Box<ResponseReader>),
}

impl AbandonedCalls {
    pub(crate) fn new(settings: AbandonmentSettings) -> Self {
        Self { settings, room: Arc::new(Semaphore::new(settings.drains.min(Semaphore::MAX_PERMITS))) }
    }

    /// Does with a call what its caller, or the configuration, wants.
    pub(crate) fn leave(&self, left: Left, wish: AbandonmentMode, account: UsageAccounting, in_flight: &InFlight) {
        let mode = if wish == AbandonmentMode::Unspecified { self.settings.mode } else { wish };
        let room = Arc::clone(&self.room).try_acquire_owned();
        let (AbandonmentMode::Drain, Ok(room), Ok(runtime)) = (mode, room, Handle::try_current()) else {
            return cancel(&left, account);
        };
        let time = self.settings.drain_time;
        account.draining();
        let revoked = in_flight.revoked();
        in_flight.spawn(&runtime, async move {
            let mut reading = None;
            let ended = tokio::select! {
                biased;
                () = revoked => "it was read on until the server ended".to_owned(),
                ended = timeout(time, read_on(left, &mut reading)) => match ended {
                    Ok(Ok(())) => "it was read on to its end".to_owned(),
                    Ok(Err(error)) => format!("it was read on and failed ({})", error.for_log()),
                    Err(_) => format!("it was read on for {time:?} and then closed"),
                },
            };
            let reading: Option<&ResponseReader> = reading.as_deref();
            account.drained(reading.map(ResponseReader::call), reading.and_then(ResponseReader::used), ended);
            drop(room);
        });
    }
}

/// Reads to the end. The answer is left in `reading`, however it ends.
async fn read_on(left: Left, reading: &mut Option<Box<ResponseReader>>) -> Result<(), Error> {
    let opened = match left {
        Left::Pending(opening) => opening.await?,
        Left::Reading(reading) => reading,
    };
    reading.insert(opened).drain(LONGEST_FRAME).await
}

fn cancel(left: &Left, account: UsageAccounting) {
    match left {
        Left::Pending(_) => account.cancelled(None, None),
        Left::Reading(reading) => account.cancelled(Some(reading.call()), reading.used()),
    }
}
