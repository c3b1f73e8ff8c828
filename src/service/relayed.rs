//! What the Bedrock API asks of the service besides answers: token counts, and answers that come at once.

use bytes::Bytes;
use tokio::time::timeout;

use super::{Service, models};
use crate::{
    edge::gates::Admitted,
    error::{Error, Reason},
    failover::attempt_log::AttemptLog,
    identity::Identity,
    proto::{GenerateRequest, ListModelsResponse},
    request::{permitted, relayed},
    telemetry::observer::request::Asked,
};

impl Service {
    /// Counts the input tokens of a body as it is. Returns the body of Bedrock's answer.
    pub(crate) async fn count_relayed(&self, caller: &Admitted, request: GenerateRequest) -> Result<Bytes, Error> {
        let Admitted { identity, record, .. } = caller;
        let rules = &identity.in_force().rules;
        let mut call = relayed::check_count(request, rules)?;
        record.requested(&call.name, rules.is_configured(&call.name), Asked::TokenCount);
        permitted::check_relayed_count(&mut call, identity, self.failover.home())?;
        self.failover.count_relayed(call, rules.timeouts.default, &AttemptLog::of(record)).await
    }

    /// The models and routes that a caller may name.
    pub(crate) async fn models_of(&self, identity: &Identity) -> ListModelsResponse {
        models::list(identity, self.account.as_ref()).await
    }

    /// The region of the server.
    pub(crate) fn home(&self) -> &str {
        self.failover.home()
    }

    /// Ends a call that is answered at once: its work ends with the total timeout, and when the server no longer waits for calls.
    pub(crate) async fn at_once<A>(
        &self,
        admitted: &Admitted,
        work: impl Future<Output = Result<A, Error>>,
    ) -> Result<A, Error> {
        let total = admitted.identity.in_force().rules.timeouts.default.total;
        let timed = async {
            timeout(total, Box::pin(work)).await.unwrap_or_else(|_| {
                let message = format!("the call was not answered after {total:?} (--total-timeout on the server)");
                Err(Error::new(Reason::TotalTimeout, message))
            })
        };
        let answered = admitted.in_flight.unless_revoked(timed).await;
        match &answered {
            Ok(_) => admitted.record.finish(),
            Err(error) => admitted.record.refuse(error),
        }
        answered
    }
}
