//! The steps of a call before its first attempt: the turn of a conversation, the check, the permissions, and admission.

use prost::Message as _;

use super::Service;
use crate::{
    admission::{AdmissionRequest, Permit, estimate::Estimate, request_memory::MemoryPermit},
    conversation::RunningTurn,
    cores::leave_if_large,
    error::Error,
    identity::Identity,
    in_force::InForce,
    proto::{GenerateRequest, Priority},
    quota::demand::Demand,
    request::{self, Checked, Serving, permitted, relayed::Relayed},
    telemetry::{call::CallRecord, observer::request::Asked, queue::in_queue},
};

/// What a call asks for.
pub(super) struct Wanted<'a> {
    pub(super) request: GenerateRequest,
    /// Set if its body and its answer are relayed.
    pub(super) relayed: Option<&'a Relayed>,
}

/// A call that may make attempts.
pub(super) struct Begun {
    pub(super) turn: Option<RunningTurn>,
    pub(super) checked: Checked<GenerateRequest>,
    pub(super) serving: Serving,
    /// What it asks of quotas.
    pub(super) demand: Option<Demand>,
    pub(super) permit: Permit,
    /// The memory of the history.
    pub(super) for_history: MemoryPermit,
}

impl Service {
    /// The steps before the first attempt: the turn of a conversation, the check, and admission.
    pub(super) async fn begin(
        &self,
        identity: &Identity,
        record: &CallRecord,
        memory: &MemoryPermit,
        Wanted { mut request, relayed }: Wanted<'_>,
    ) -> Result<Begun, Error> {
        let mut turn = self.conversations.of(identity.owner()).begin(&mut request).await?;
        permitted::impose(&mut request, identity);
        let InForce { rules, limits, quotas } = &**identity.in_force();
        let (mut checked, serving) = match relayed {
            Some(relayed) => request::relayed::check(request, relayed, rules)?,
            None => request::check(request, rules)?,
        };
        let asked = match relayed {
            Some(relayed) => Asked::Relayed(relayed.operation),
            None => Asked::Generation(checked.request.get()),
        };
        record.requested(&checked.name, rules.is_configured(&checked.name), asked);
        let for_history = memory.another();
        if let Some(turn) = &mut turn {
            let history = turn.take_history();
            // It is known only now how much it is; a conversation bounds its bytes.
            let bytes = history.iter().map(|message| message.encoded_len() as u64).sum();
            for_history.grow(2 * bytes)?;
            leave_if_large(bytes).await;
            checked.request.prepend_history(history);
        }
        match relayed {
            Some(relayed) => permitted::check_relayed(&mut checked, relayed, identity, self.failover.home())?,
            None => permitted::check(&mut checked, identity, self.failover.home())?,
        }
        let (client, model, request) = (identity.client(), checked.name.as_str(), checked.request.get());
        let asked = AdmissionRequest { client, model, request, route: &checked.route, quotas };
        let permit = in_queue(record, self.admission.admit(limits, asked)).await?;
        let demand = self.failover.has_quota(&checked.route).then(|| {
            let is_batch = request.priority() == Priority::Batch;
            let preferred = turn.as_ref().and_then(RunningTurn::last_target);
            Demand { preferred, ..Demand::of(client, Estimate::of(request), is_batch) }
        });
        Ok(Begun { turn, checked, serving, demand, permit, for_history })
    }
}
