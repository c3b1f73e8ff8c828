//! Reserves for a call: at once where there is room, or after a wait that is bounded.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Choice, Granted, Ledger, saturate};
use crate::{
    error::{Error, Quota, Reason},
    failover::routes::Target,
    proto::QuotaWait,
    quota::{demand::Demand, fair_queue::WaiterId},
};

/// The queue is divided by this number: a client can have one part of it.
const QUEUE_SHARE: usize = 4;

/// A call that waits. Clones are of the same call.
#[derive(Clone, Debug)]
pub(crate) struct WaitingCall {
    ledger: Ledger,
    id: WaiterId,
}

/// Leaves the queue when it is dropped.
struct Place(WaitingCall);

impl Ledger {
    /// Reserves for a call at the first of these targets that has room, its preferred one first. Waits if none has, for as long as is
    /// configured. `waits` learns that the call waits.
    ///
    /// # Errors
    /// `QUOTA_EXHAUSTED`.
    pub(crate) async fn reserve(
        &self,
        targets: &[&Target],
        demand: &Demand,
        waits: impl Fn(Option<WaitingCall>),
    ) -> Result<Granted, Error> {
        let (came, choices) = (Instant::now(), self.choices(targets, demand));
        let (affinity, queue_time) = {
            let settings = &self.state().settings;
            (settings.cache_affinity, settings.queue_time)
        };
        let preferred = demand.preferred.as_ref().map(|target| self.resolved(target)).filter(|_| !affinity.is_zero());
        if let Some(choice) = preferred.and_then(|target| choices.iter().find(|choice| choice.target == target)) {
            let choice = std::slice::from_ref(choice);
            if let Some(granted) = self.try_begin(choice) {
                return Ok(granted);
            }
            // A wait that would be too long is not begun.
            if self.estimate(&choice[0], None).is_some_and(|wait| wait <= affinity)
                && let Ok(granted) = self.wait(choice, demand, affinity.min(queue_time), &waits).await
            {
                return Ok(granted);
            }
        }
        if let Some(granted) = self.try_begin(&choices) {
            return Ok(granted);
        }
        self.wait(&choices, demand, queue_time.saturating_sub(came.elapsed()), &waits).await
    }

    /// Waits at all of these targets, all of which have quotas.
    async fn wait(
        &self,
        choices: &[Choice],
        demand: &Demand,
        limit: Duration,
        waits: &impl Fn(Option<WaitingCall>),
    ) -> Result<Granted, Error> {
        let fitting: Vec<_> = choices.iter().filter(|choice| !self.is_too_small(choice)).cloned().collect();
        if fitting.is_empty() {
            return Err(self.refusal(choices, demand, true, ""));
        }
        if limit.is_zero() {
            return Err(self.refusal(&fitting, demand, false, ""));
        }
        let (length, queue_time, (all, own)) = {
            let state = self.state();
            (state.settings.queue_length, state.settings.queue_time, state.waiting(&demand.client))
        };
        if all >= length || own >= (length / QUEUE_SHARE).max(1) {
            let why =
                if all >= length { ", and the queue is full" } else { ", and the client's share of the queue is full" };
            return Err(self.refusal(&fitting, demand, false, why));
        }
        let (id, begins) = self.enqueue(&fitting, demand);
        let place = Place(WaitingCall { ledger: self.clone(), id });
        waits(Some(place.0.clone()));
        let waited = timeout(limit, begins).await;
        waits(None);
        // A call that is not granted leaves before the refusal is made. A grant that comes meanwhile is given back.
        drop(place);
        match waited {
            Ok(Ok(granted)) => Ok(granted),
            Ok(Err(_)) | Err(_) => {
                Err(self.refusal(&fitting, demand, false, &format!(", and had none within {queue_time:?}")))
            }
        }
    }

    fn is_too_small(&self, Choice { target, reserved, .. }: &Choice) -> bool {
        let state = self.state();
        let Some((reserved, model)) = reserved.as_ref().zip(state.models.get(target)) else { return false };
        model.is_too_small_for(reserved.tokens)
    }

    /// About the time until a call that comes now, or one that waits already, can begin at this target.
    fn estimate(&self, Choice { target, reserved, .. }: &Choice, waiting: Option<(usize, u64)>) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state();
        let model = state.models.get_mut(target)?;
        let before = waiting.unwrap_or_else(|| (model.queue.len(), model.queue.tokens()));
        model.estimate(before, reserved.as_ref()?.tokens, now)
    }

    /// Records that a call has found no room at these targets.
    fn lacks(&self, choices: &[Choice]) {
        let now = Instant::now();
        let mut state = self.state();
        for Choice { target, .. } in choices {
            if let Some(model) = state.models.get_mut(target) {
                saturate(model, target, now);
                self.ask_for_more(model);
            }
        }
        drop(state);
        self.wake();
    }

    fn refusal(&self, choices: &[Choice], demand: &Demand, never: bool, why: &str) -> Error {
        // A call that can never begin says nothing about the room.
        if !never {
            self.lacks(choices);
        }
        let wait = choices.iter().filter_map(|choice| self.estimate(choice, None)).min();
        let targets: Vec<_> = choices.iter().map(|choice| choice.target.to_string()).collect();
        let targets = targets.join(", ");
        let most = choices
            .iter()
            .filter_map(|choice| choice.reserved.as_ref())
            .map(|reserved| reserved.tokens)
            .max()
            .unwrap_or_default();
        let input = demand.estimate.input;
        let asks =
            format!("This request reserves {most} tokens, of which about {input} are input and the rest is max_tokens");
        let quota =
            |description: &str| Quota { subject: format!("model:{targets}"), description: description.to_owned() };
        if never {
            let description = format!("the quota of {targets} in a minute is smaller than one request");
            let message = format!("{description}. {asks}: set a lower max_tokens");
            return Error::new(Reason::QuotaExhausted, message).with_quota(quota(&description)).without_retry();
        }
        let description = format!("the quota of {targets} has no room{why} (--quota-queue-time)");
        let wait = wait.map(|wait| wait.max(Duration::from_millis(100)));
        let advice = wait.map_or_else(
            || "try again when another call has ended".to_owned(),
            |wait| format!("try again after {wait:.1?}"),
        );
        let message = format!("{description}. {asks}: set a lower max_tokens, or {advice}");
        Error::new(Reason::QuotaExhausted, message).with_quota(quota(&description)).with_retry_after(wait)
    }
}

impl WaitingCall {
    /// The place of the call in the queue, and about how long it waits. `None` if it no longer waits.
    pub(crate) fn status(&self) -> Option<QuotaWait> {
        let (client, is_batch, choices) = self.ledger.state().waiter(self.id)?;
        let before = |choice: &Choice| {
            let state = self.ledger.state();
            state.models.get(&choice.target)?.queue.before(&client, is_batch, self.id)
        };
        let places = choices.iter().filter_map(|choice| Some((choice, before(choice)?)));
        let soonest = places.map(|(choice, before)| (self.ledger.estimate(choice, Some(before)), before.0));
        let (wait, calls) = soonest.min_by_key(|(wait, calls)| (wait.unwrap_or(Duration::MAX), *calls))?;
        Some(QuotaWait {
            position: u32::try_from(calls + 1).unwrap_or(u32::MAX),
            estimated_wait: wait.and_then(|wait| wait.try_into().ok()),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.ledger.leave(self.0.id);
    }
}
