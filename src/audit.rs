//! The audit log: one line of JSON for every call, every refused credential and every change of callers. It says who did what and what it
//! cost, and never has a prompt, a completion or a secret.
//!
//! An [`AuditedCall`] is made before the first gate and writes its line when it is dropped, so a call has one line however it ends. The record of the
//! call ([`crate::telemetry::call`]) owns it.
//!
//! - `line` the members of a line
//! - `writer` the bounded queue, and the thread that writes the file

mod line;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    line::{Line, Members},
    writer::Writer,
};
use crate::{
    admission::client::ClientId,
    error::{CallContext, Error, Reason},
    identity::{Identity, directory::KeyChanges},
    metrics::Metrics,
    outcome::{CallSummary, Outcome},
    request::generation_id::GenerationId,
};

/// The number of lines that wait for the file, and of calls whose lines are still to come.
const PLACES: usize = 32_768;

/// The time in which the last lines are written when the server ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens when lines cannot be written as fast as calls end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Calls go on, lines are lost and counted.
    #[default]
    Drop,
    /// Calls are refused, so that no call is served without its line.
    Refuse,
}

/// The audit log of a server.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// The file. Lines are appended. A file that was moved away is created again.
    pub path: PathBuf,
    /// What happens when lines cannot be written in time.
    pub when_full: WhenFull,
}

/// The audit log. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    when_full: WhenFull,
    /// One for each line that waits, and for each call whose line is still to come.
    places: Arc<Semaphore>,
    metrics: Metrics,
}

/// A call that will have a line. It is written when this is dropped.
#[derive(Debug)]
pub(crate) struct AuditedCall {
    audit: Audit,
    identity: Identity,
    method: String,
    generation_id: GenerationId,
    /// `None` until it is known how the call ended.
    outcome: Option<Members>,
    place: Option<OwnedSemaphorePermit>,
}

impl Audit {
    /// Opens the log. Without settings nothing is written.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(settings: Option<&AuditSettings>, metrics: &Metrics) -> io::Result<Self> {
        let Some(AuditSettings { path, when_full }) = settings else { return Ok(Self(None)) };
        let writer = Writer::start(path.clone(), PLACES, metrics.clone())?;
        let (places, metrics) = (Arc::new(Semaphore::new(PLACES)), metrics.clone());
        Ok(Self(Some(Arc::new(Inner { writer, when_full: *when_full, places, metrics }))))
    }

    /// Begins the line of a call of this method, given by its path.
    ///
    /// # Errors
    /// `AUDIT_LOG` if its line has no place, and calls are refused then.
    pub(crate) fn begin(
        &self,
        identity: &Identity,
        path: &str,
        generation_id: &GenerationId,
    ) -> Result<AuditedCall, Error> {
        let place = self.0.as_ref().map(|inner| inner.place()).transpose()?.flatten();
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(AuditedCall {
            audit: self.clone(),
            identity: identity.clone(),
            method,
            generation_id: generation_id.clone(),
            outcome: None,
            place,
        })
    }

    /// Records that credentials were refused. `credential` is the id of a key, if there is one.
    pub(crate) fn not_identified(&self, address: &ClientId, path: &str, credential: &str, error: &Error) {
        self.write(None, || {
            let line = Line::new("authentication").text("address", &address.to_string()).text("path", path);
            line.text("credential", credential).text("decision", "refused").text("reason", error.reason().name())
        });
    }

    /// Records a change of the callers.
    pub(crate) fn callers_replaced(&self, callers: usize, changes: &KeyChanges) {
        self.write(None, || {
            let KeyChanges { added, removed, disabled } = changes;
            let line = Line::new("reload").number("callers", callers as u64);
            line.texts("keys_added", added).texts("keys_removed", removed).texts("keys_disabled", disabled)
        });
    }

    /// Records that new connections use other certificates, keys or authorities. `expires` is the end of the certificate of the server.
    pub(crate) fn tls_replaced(&self, expires: &str) {
        self.write(None, || Line::new("tls_reload").text("expires", expires));
    }

    /// Records a start or a stop of the server.
    pub(crate) fn lifecycle(&self, event: &'static str) {
        self.write(None, || Line::new(event));
    }

    /// Writes the last lines, and closes the file.
    pub(crate) async fn close(&self) {
        if let Some(inner) = &self.0 {
            inner.writer.close(CLOSE_TIMEOUT).await;
        }
    }

    fn write(&self, place: Option<OwnedSemaphorePermit>, line: impl FnOnce() -> Line) {
        let Some(inner) = &self.0 else { return };
        if !inner.writer.write(line().into_text(), place) {
            inner.metrics.audit_line_lost();
        }
    }
}

impl Inner {
    fn place(&self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if self.when_full == WhenFull::Drop {
            return Ok(None);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Some).map_err(|_| {
            let message =
                "the audit log cannot be written, and this server serves no call without its line. Try again later";
            Error::new(Reason::AuditLog, message)
        })
    }
}

impl AuditedCall {
    /// Writes how the call ended.
    pub(crate) fn ended(mut self, call: &CallSummary<'_>) {
        let members = Members::default();
        self.outcome = Some(match call.outcome {
            Outcome::Refused(error) => members.text("decision", "refused").text("reason", error.reason().name()),
            Outcome::Left => members.text("status", call.outcome.status()),
            Outcome::Answered => members.text("decision", "allowed").text("status", "OK"),
            Outcome::Finished | Outcome::Failed(_) | Outcome::Abandoned { .. } => of_stream(members, call),
        });
    }
}

/// What a stream has cost.
fn of_stream(members: Members, call: &CallSummary<'_>) -> Members {
    let CallContext { model_id, region, request_id, .. } = call.attempts;
    let members = members.text("decision", "allowed").text("status", call.outcome.status());
    let members = members.text("model_id", model_id).text("region", region).text("request_id", request_id);
    match call.used {
        Some(used) => members.number("input_tokens", used.input.into()).number("output_tokens", used.output.into()),
        None => members,
    }
}

impl Drop for AuditedCall {
    fn drop(&mut self) {
        let outcome =
            self.outcome.take().unwrap_or_else(|| Members::default().text("status", Reason::CallerCancelled.name()));
        let place = self.place.take();
        self.audit.write(place, || {
            let Self { identity, method, generation_id, .. } = &*self;
            let credential = identity.credential();
            Line::new("call")
                .text("generation_id", generation_id.as_str())
                .text("method", method)
                .text("tenant", identity.tenant())
                .text("caller", identity.caller())
                .text("subject", identity.subject())
                .text("authentication", credential.method())
                .text("credential", credential.id())
                .text("address", &identity.address().to_string())
                .members(outcome)
        });
    }
}

#[cfg(test)]
mod tests;
