//! Who waits, and who begins: calls enter and leave the queues of their targets, and begin in a fair order as room comes.

use tokio::{sync::oneshot, time::Instant};

use super::{
    Choice, Granted, Ledger, State, Waiter,
    reservation::{Reservation, Reserved},
    saturate,
};
use crate::{
    failover::routes::Target,
    quota::{
        demand::Demand,
        fair_queue::{WaiterId, Waiting},
        model::Model,
    },
};

/// Calls that can begin, to be told when the lock is released.
pub(super) type Begun = Vec<(oneshot::Sender<Granted>, Granted)>;

impl Ledger {
    /// Lets a call wait at these targets, all of which have quotas. It begins at the first that has room.
    pub(super) fn enqueue(&self, choices: &[Choice], demand: &Demand) -> (WaiterId, oneshot::Receiver<Granted>) {
        let now = Instant::now();
        let (begins, receiver) = oneshot::channel();
        let mut state = self.state();
        state.last_number += 1;
        let id = state.last_number;
        for Choice { target, reserved, .. } in choices {
            let (Some(reserved), Some(model)) = (reserved, state.models.get_mut(target)) else { continue };
            saturate(model, target, now);
            self.ask_for_more(model);
            model.queue.push(Waiting {
                id,
                client: demand.client.clone(),
                weight: demand.queue_share.weight,
                is_batch: demand.is_batch,
                tokens: reserved.tokens,
            });
        }
        let (client, is_batch) = (demand.client.clone(), demand.is_batch);
        state.waiters.insert(id, Waiter { client, is_batch, choices: choices.to_vec(), begins });
        // A quota may have got room, or may have been removed, since the call found none.
        let mut begun = Begun::new();
        for Choice { target, .. } in choices {
            if state.models.contains_key(target) {
                self.dispatch(&mut state, target, now, &mut begun);
            } else {
                begin_without_quota(&mut state, target, &mut begun);
            }
        }
        drop(state);
        tell(begun);
        self.0.changed.notify_one();
        (id, receiver)
    }

    /// Removes a call that no longer waits.
    pub(super) fn leave(&self, id: WaiterId) {
        let now = Instant::now();
        let mut begun = Begun::new();
        let mut state = self.state();
        let Some(waiter) = state.waiters.remove(&id) else { return };
        state.forget(id, &waiter);
        for Choice { target, .. } in &waiter.choices {
            self.dispatch(&mut state, target, now, &mut begun);
        }
        drop(state);
        tell(begun);
        // The call that is first now may begin sooner than the one that has left.
        self.wake();
    }

    /// Begins calls that wait for this target while it has room.
    pub(super) fn dispatch(&self, state: &mut State, target: &Target, now: Instant, begun: &mut Begun) {
        loop {
            let Some(model) = state.models.get_mut(target) else { return };
            let Some(first) = model.queue.first() else { return };
            let tokens = first.tokens;
            if !model.has_room(tokens, now) {
                return;
            }
            let Some(Waiting { id, .. }) = model.queue.begin_first() else { return };
            let Some(waiter) = state.waiters.remove(&id) else { continue };
            let choice = waiter.choices.iter().find(|choice| choice.target == *target);
            if let (Some(Choice { at, reserved: Some(reserved), .. }), Some(model)) =
                (choice, state.models.get_mut(target))
            {
                let granted = self.begin(model, *at, reserved, now);
                state.forget(id, &waiter);
                begun.push((waiter.begins, granted));
            }
        }
    }

    pub(super) fn dispatch_all(&self, state: &mut State, now: Instant, begun: &mut Begun) {
        let targets: Vec<_> =
            state.models.iter().filter(|(_, model)| model.queue.len() > 0).map(|(target, _)| target.clone()).collect();
        for target in targets {
            self.dispatch(state, &target, now, begun);
        }
    }

    pub(super) fn begin(&self, model: &mut Model, at: usize, reserved: &Reserved, now: Instant) -> Granted {
        model.begin(reserved.tokens, now);
        // The quota can be another one since the call came.
        let reserved = Reserved { number: model.number, begun: now, ..reserved.clone() };
        Granted { at, reservation: Some(Reservation::new(self.clone(), reserved)) }
    }
}

impl State {
    /// Takes a call out of all queues.
    fn forget(&mut self, id: WaiterId, Waiter { client, is_batch, choices, .. }: &Waiter) {
        for Choice { target, .. } in choices {
            if let Some(model) = self.models.get_mut(target) {
                model.queue.remove(client, *is_batch, id);
            }
        }
    }
}

/// Begins all calls that can go to this target, which has no quota.
pub(super) fn begin_without_quota(state: &mut State, target: &Target, begun: &mut Begun) {
    let goes = |waiter: &Waiter| waiter.choices.iter().find(|choice| choice.target == *target).map(|choice| choice.at);
    let ids: Vec<_> = state.waiters.iter().filter_map(|(id, waiter)| Some((*id, goes(waiter)?))).collect();
    for (id, at) in ids {
        let Some(waiter) = state.waiters.remove(&id) else { continue };
        state.forget(id, &waiter);
        begun.push((waiter.begins, Granted { at, reservation: None }));
    }
}

/// Tells calls that they can begin. What a call holds that has left is given back.
pub(super) fn tell(begun: Begun) {
    for (begins, granted) in begun {
        drop(begins.send(granted));
    }
}
