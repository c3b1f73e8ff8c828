//! An issuer and its keys: fetched when they are first needed, refreshed in the background while calls go on, and fetched again for a token
//! with an unknown key.
//!
//! However many callers wait, there is one fetch. It is a task of the issuer and not of a caller, so a caller that leaves does not end it,
//! and an issuer that is dropped does. The state never says that a fetch runs when none does: the guard [`Running`] ends with the task.
//!
//! | keys | a token whose `kid` they have | another token |
//! |---|---|---|
//! | fresh | is verified | waits for a fetch, at most one every [`BETWEEN_SEARCHES`] |
//! | due | is verified; a fetch begins in the background | waits for that fetch |
//! | overdue | waits for that fetch, unless the last one failed; is verified also if it fails | waits for that fetch |
//! | none, or older than [`MAX_AGE`] | waits for a fetch, at most one every [`AFTER_FAILURE`] | as the one on the left |

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    Rejection,
    fetch::{Fetched, Fetcher, Source},
    keys::KeySet,
    settings::IssuerSettings,
    token::Token,
};

/// For how long keys are fresh: as long as the issuer says, within these bounds, or this long if it does not say.
const MIN_FRESH: Duration = Duration::from_mins(1);
const MAX_FRESH: Duration = Duration::from_hours(1);
const FRESH: Duration = Duration::from_mins(10);

/// Keys that have been due for longer are overdue: there was no call that began a fetch in time, or the issuer does not answer.
const OVERDUE: Duration = Duration::from_mins(1);

/// Keys of an issuer that does not answer are used until they are this old.
const MAX_AGE: Duration = Duration::from_hours(24);

/// The time between two fetches for tokens with unknown keys. Any caller can make up a key id.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(10);

/// The time after a fetch that failed, in which there is no other.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer<S = Fetcher> {
    shared: Arc<Shared<S>>,
    /// The fetch, while there is one. Dropping the issuer ends it.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared<S> {
    settings: IssuerSettings,
    source: S,
    state: Mutex<State>,
    /// Changes whenever a fetch has ended.
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Loaded>,
    fetching: bool,
    /// The last fetch, if it failed.
    failure: Option<Failure>,
    searched: Option<Instant>,
}

#[derive(Debug)]
struct Loaded {
    keys: Arc<KeySet>,
    at: Instant,
    fresh: Duration,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    problem: String,
}

/// What a caller does next.
enum Step {
    Verify(Arc<KeySet>),
    Wait(watch::Receiver<()>),
}

impl<S: Source> Issuer<S> {
    pub(super) fn new(settings: IssuerSettings, source: S) -> Self {
        let (ended, _) = watch::channel(());
        let shared = Shared { settings, source, state: Mutex::default(), ended };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    pub(super) fn settings(&self) -> &IssuerSettings {
        &self.shared.settings
    }

    /// The keys with which this token is to be verified. They have the key that it names.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`], or [`Rejection::IssuerUnavailable`] if the issuer does not answer.
    pub(super) async fn keys_for(&self, token: &Token<'_>) -> Result<Arc<KeySet>, Rejection> {
        match self.step(token, true)? {
            Step::Verify(keys) => Ok(keys),
            Step::Wait(mut ended) => {
                // The sender is part of this issuer.
                let _ = ended.changed().await;
                match self.step(token, false)? {
                    Step::Verify(keys) => Ok(keys),
                    Step::Wait(_) => Err(Rejection::UnknownKey),
                }
            }
        }
    }

    /// Whether these are the keys of the issuer, and not too old. Begins a fetch in the background if they are due.
    pub(super) fn still_has(&self, keys: &Arc<KeySet>) -> bool {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        self.refresh_if_due(&mut state, now);
        let usable = |loaded: &&Loaded| !(loaded.is_too_old(now) || state.is_catching_up(loaded, now));
        state.keys.as_ref().filter(usable).is_some_and(|loaded| Arc::ptr_eq(&loaded.keys, keys))
    }

    /// Begins to fetch the keys, unless they are there.
    pub(super) fn prefetch(&self) {
        let mut state = self.shared.state.lock();
        if state.keys.is_none() && !state.fetching {
            self.begin(&mut state);
        }
    }

    /// `first`: the caller has not waited yet. It waits at most once.
    fn step(&self, token: &Token<'_>, first: bool) -> Result<Step, Rejection> {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        self.refresh_if_due(&mut state, now);
        let ended = || Ok(Step::Wait(self.shared.ended.subscribe()));
        let Some(loaded) = state.keys.as_ref().filter(|loaded| !loaded.is_too_old(now)) else {
            if first && state.fetching {
                return ended();
            }
            let problem = state.failure.as_ref().map_or("no keys were fetched yet", |failure| &failure.problem);
            return Err(Rejection::IssuerUnavailable(problem.to_owned()));
        };
        if first && state.is_catching_up(loaded, now) {
            return ended();
        }
        if loaded.keys.knows(token) {
            return Ok(Step::Verify(Arc::clone(&loaded.keys)));
        }
        if first && state.fetching {
            return ended();
        }
        let searched = state.searched.is_some_and(|searched| now.duration_since(searched) < BETWEEN_SEARCHES);
        if first && !searched && !state.failed_lately(now) {
            state.searched = Some(now);
            self.begin(&mut state);
            return ended();
        }
        Err(match &state.failure {
            Some(failure) => Rejection::IssuerUnavailable(failure.problem.clone()),
            None => Rejection::UnknownKey,
        })
    }

    fn refresh_if_due(&self, state: &mut State, now: Instant) {
        let due = state.keys.as_ref().is_none_or(|loaded| loaded.is_due(now));
        if due && !state.failed_lately(now) && !state.fetching {
            self.begin(state);
        }
    }

    /// Begins a fetch. There is none.
    fn begin(&self, state: &mut State) {
        state.fetching = true;
        let running = Running(Arc::clone(&self.shared));
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let Shared { settings, source, .. } = &*running.0;
            let fetched = source.fetch(settings).await;
            running.0.finish(fetched);
        });
    }
}

impl<S> Shared<S> {
    fn finish(&self, fetched: Result<Fetched, String>) {
        let issuer = &self.settings.issuer;
        let mut state = self.state.lock();
        let now = Instant::now();
        match fetched {
            Ok(Fetched { keys, max_age }) => {
                let known = state.keys.as_ref().map(|loaded| &loaded.keys).filter(|known| ***known == keys);
                if known.is_none() || state.failure.is_some() {
                    tracing::info!(issuer, keys = keys.len(), "the keys of an issuer of tokens were fetched");
                }
                // The same keys stay the same value, so that tokens that they verified need no second verification.
                let keys = known.map_or_else(|| Arc::new(keys), Arc::clone);
                let fresh = max_age.unwrap_or(FRESH).clamp(MIN_FRESH, MAX_FRESH);
                state.keys = Some(Loaded { keys, at: now, fresh });
                state.failure = None;
            }
            Err(problem) => {
                let left = state.keys.as_ref().map(|loaded| MAX_AGE.saturating_sub(now.duration_since(loaded.at)));
                let keys = match left.filter(|left| !left.is_zero()) {
                    Some(left) => format!("those it had are used for another {}s at most", left.as_secs()),
                    None => "its tokens are refused until they are".to_owned(),
                };
                tracing::warn!(issuer, problem, "the keys of an issuer of tokens could not be fetched; {keys}");
                state.failure = Some(Failure { at: now, problem });
            }
        }
    }
}

impl State {
    fn failed_lately(&self, now: Instant) -> bool {
        self.failure.as_ref().is_some_and(|failure| now.duration_since(failure.at) < AFTER_FAILURE)
    }

    /// Whether callers wait for a fetch rather than use these old keys. They do not while the issuer is down: every fetch would delay them.
    fn is_catching_up(&self, loaded: &Loaded, now: Instant) -> bool {
        self.fetching && self.failure.is_none() && loaded.is_overdue(now)
    }
}

impl Loaded {
    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.at) >= self.fresh
    }

    fn is_overdue(&self, now: Instant) -> bool {
        now.duration_since(self.at) >= self.fresh + OVERDUE
    }

    fn is_too_old(&self, now: Instant) -> bool {
        now.duration_since(self.at) >= MAX_AGE
    }
}

/// A running fetch. Dropping it, whatever became of the fetch, wakes those who wait for it.
struct Running<S>(Arc<Shared<S>>);

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.0.state.lock().fetching = false;
        self.0.ended.send_replace(());
    }
}

#[cfg(test)]
mod simulation;
