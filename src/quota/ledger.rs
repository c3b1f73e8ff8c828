//! The ledger of all quotas: an attempt reserves what Bedrock will reserve, before it is sent, at a target that has room. Calls that find no
//! room wait in a fair order.
//!
//! Everything is under one lock, which no await holds. A call that ends or leaves the queue gives what is free to those that wait; what
//! comes with time is given by [`Ledger::run`].
//!
//! - `dispatch` who waits, and who begins; [`waiting`] the wait of a call
//! - [`reservation`] what an attempt holds
//! - `listing` how much is used; [`shares`] what this server has of quotas that servers share

mod dispatch;
mod listing;
pub(crate) mod reservation;
pub(crate) mod shares;
pub(crate) mod waiting;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};
use tracing::info;

use self::{
    dispatch::{Begun, begin_without_quota, tell},
    reservation::{Reservation, Reserved},
};
use super::{demand::Demand, fair_queue::WaiterId, model::Model, settings::QuotaSettings};
use crate::{admission::client::ClientId, event::Used, failover::routes::Target, proto::QuotaSharing};

/// The interval in which a saturated quota is looked at, to say when it has recovered.
const RECOVERY: Duration = Duration::from_secs(1);

/// The shortest sleep of the ledger.
const TICK: Duration = Duration::from_millis(1);

/// The ledger. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The region of a target that names none.
    home: String,
    state: Mutex<State>,
    /// Wakes [`Ledger::run`].
    changed: Notify,
    /// Wakes [`Ledger::wants_more`].
    wants_more: Notify,
}

#[derive(Debug, Default)]
struct State {
    models: HashMap<Target, Model>,
    waiters: HashMap<WaiterId, Waiter>,
    last_number: u64,
    settings: QuotaSettings,
    /// Unspecified until it is shared.
    sharing: QuotaSharing,
}

/// A call that waits at one or several targets, and begins at the first that has room.
#[derive(Debug)]
struct Waiter {
    client: ClientId,
    is_batch: bool,
    choices: Vec<Choice>,
    begins: oneshot::Sender<Granted>,
}

/// A target that a call can go to.
#[derive(Clone, Debug)]
struct Choice {
    /// Its place in the order of the call.
    at: usize,
    target: Target,
    /// What the call would hold there. `None`: the target has no quota.
    reserved: Option<Reserved>,
}

/// Where a call may go, and what it holds there.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The place of the target in the order of the call.
    pub(crate) at: usize,
    /// `None`: the target has no quota.
    pub(crate) reservation: Option<Reservation>,
}

impl Ledger {
    /// A ledger of a server in this region.
    pub(crate) fn new(home: impl Into<String>, settings: &QuotaSettings) -> Self {
        let inner =
            Inner { home: home.into(), state: Mutex::default(), changed: Notify::new(), wants_more: Notify::new() };
        let ledger = Self(Arc::new(inner));
        ledger.follow(settings);
        ledger
    }

    /// Takes over other settings. Running calls go on, and calls that wait for a quota that is gone begin.
    pub(crate) fn follow(&self, settings: &QuotaSettings) {
        let now = Instant::now();
        let mut state = self.state();
        let mut before = std::mem::take(&mut state.models);
        for quota in &settings.quotas {
            let target = self.resolved(&Target { model_id: quota.model_id.clone(), region: quota.region.clone() });
            let mut model = match before.remove(&target) {
                Some(mut model) => {
                    model.follow(quota.clone(), now);
                    model
                }
                None => {
                    state.last_number += 1;
                    Model::new(state.last_number, quota.clone(), now)
                }
            };
            if matches!(state.sharing, QuotaSharing::Shared | QuotaSharing::CutOff) {
                model.granted(shares::known_or_initial(&model), now);
            }
            state.models.insert(target, model);
        }
        state.settings = settings.clone();
        let mut begun = Begun::new();
        for target in before.into_keys() {
            begin_without_quota(&mut state, &target, &mut begun);
        }
        self.dispatch_all(&mut state, now, &mut begun);
        drop(state);
        tell(begun);
        self.0.changed.notify_one();
    }

    /// Whether any of these targets has a quota.
    pub(crate) fn has_quota(&self, route: &[Target]) -> bool {
        let state = self.state();
        !state.models.is_empty() && route.iter().any(|target| state.models.contains_key(&self.resolved(target)))
    }

    /// Gives to those who wait what comes with time, while it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.give_what_has_come();
            let mut changed = pin!(self.0.changed.notified());
            match next {
                Some(next) => tokio::select! {
                    () = &mut changed => {}
                    () = sleep_until(next) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Begins the calls that can begin now. Returns when to look again.
    fn give_what_has_come(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut begun = Begun::new();
        let mut state = self.state();
        self.dispatch_all(&mut state, now, &mut begun);
        let mut next: Option<Instant> = None;
        for (target, model) in &mut state.models {
            let first = model.queue.first().map(|first| first.tokens);
            let mut wait = first.and_then(|tokens| model.wait(tokens, now));
            if model.has_recovered(now) {
                model.saturated = None;
                info!(%target, "the quota of this target has room again");
            } else if model.saturated.is_some() && first.is_none() {
                wait = Some(RECOVERY);
            }
            let at = wait.map(|wait| now + wait.max(TICK));
            next = next.into_iter().chain(at).min();
        }
        drop(state);
        tell(begun);
        next
    }

    /// The targets that a call can go to, in its order, with what it would hold there.
    fn choices(&self, targets: &[&Target], demand: &Demand) -> Vec<Choice> {
        let (state, now) = (self.state(), Instant::now());
        let choice = |(at, target): (usize, &&Target)| {
            let target = self.resolved(target);
            let reserved = state.models.get(&target).map(|model| Reserved {
                target: target.clone(),
                number: model.number,
                tokens: demand.reserves(&model.settings, model.input_ratio),
                estimated_input: demand.estimate.input.into(),
                output_burndown: model.settings.output_burndown,
                begun: now,
            });
            Choice { at, target, reserved }
        };
        targets.iter().enumerate().map(choice).collect()
    }

    /// Begins a call at the first of these targets that has room, if there is one.
    fn try_begin(&self, choices: &[Choice]) -> Option<Granted> {
        let now = Instant::now();
        let mut state = self.state();
        choices.iter().find_map(|choice| {
            let Choice { at, target, reserved } = choice;
            let Some(reserved) = reserved else { return Some(Granted { at: *at, reservation: None }) };
            // A quota that was removed meanwhile limits nothing.
            let Some(model) = state.models.get_mut(target) else { return Some(Granted { at: *at, reservation: None }) };
            if model.is_too_small_for(reserved.tokens) || model.queue.len() > 0 || !model.has_room(reserved.tokens, now)
            {
                return None;
            }
            Some(self.begin(model, *at, reserved, now))
        })
    }

    /// Ends a call that has used these tokens and has cost `charged`.
    fn settled(&self, reserved: &Reserved, used: Used, charged: u64) {
        self.change(reserved, |model, now| {
            model.input_ratio.learn(reserved.estimated_input, used.input.into());
            model.end(reserved.tokens, charged, reserved.begun, now);
        });
    }

    /// Ends a call that has cost these tokens.
    fn ended(&self, reserved: &Reserved, charged: u64) {
        self.change(reserved, |model, now| model.end(reserved.tokens, charged, reserved.begun, now));
    }

    /// Ends a call that was not sent.
    fn unsent(&self, reserved: &Reserved) {
        self.change(reserved, |model, now| {
            model.end(reserved.tokens, 0, reserved.begun, now);
            model.unsend(now);
        });
    }

    /// Ends a call that Bedrock has refused or broken off for lack of quota, and that has cost these tokens.
    fn throttled(&self, reserved: &Reserved, charged: u64, retry_after: Option<Duration>) {
        self.change(reserved, |model, now| {
            model.end(reserved.tokens, charged, reserved.begun, now);
            model.throttled(reserved.begun, retry_after, now);
            saturate(model, &reserved.target, now);
        });
        self.0.changed.notify_one();
    }

    /// Changes the quota that is reserved, and gives what is free to those who wait.
    fn change(&self, reserved: &Reserved, change: impl FnOnce(&mut Model, Instant)) {
        let now = Instant::now();
        let mut begun = Begun::new();
        let mut state = self.state();
        // A quota that was removed meanwhile counts nothing.
        let Some(model) = state.models.get_mut(&reserved.target).filter(|model| model.number == reserved.number) else {
            return;
        };
        change(model, now);
        let others_wait = model.queue.len() > 0;
        self.dispatch(&mut state, &reserved.target, now, &mut begun);
        drop(state);
        tell(begun);
        if others_wait {
            self.0.changed.notify_one();
        }
    }

    /// The target with its region.
    fn resolved(&self, Target { model_id, region }: &Target) -> Target {
        let region = region.clone().unwrap_or_else(|| self.0.home.clone());
        Target { model_id: model_id.clone(), region: Some(region) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Wakes [`Ledger::run`].
    fn wake(&self) {
        self.0.changed.notify_one();
    }
}

impl State {
    /// How many calls wait, and how many of them are a client's.
    fn waiting(&self, client: &ClientId) -> (usize, usize) {
        let own = self.waiters.values().filter(|waiter| waiter.client == *client).count();
        (self.waiters.len(), own)
    }

    /// Where a call waits: its client and class, and its choices.
    fn waiter(&self, id: WaiterId) -> Option<(ClientId, bool, Vec<Choice>)> {
        let Waiter { client, is_batch, choices, .. } = self.waiters.get(&id)?;
        Some((client.clone(), *is_batch, choices.clone()))
    }
}

/// Says once that a quota has no room.
fn saturate(model: &mut Model, target: &Target, now: Instant) {
    if model.saturated.replace(now).is_none() {
        info!(%target, "the quota of this target is used up. Calls go to other targets of their routes, or wait");
    }
}
