//! Keeps what was listed for a while. One call lists at a time, and no call waits longer than [`WAIT`].

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{LISTING, Listed};
use crate::error::Error;

/// The time for which a listing is used.
const AGE: Duration = Duration::from_mins(10);

/// The time after a failure in which nothing is asked again.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest time for which a call waits. The requests of a listing end before it.
const WAIT: Duration = Duration::from_secs(5);
const _: () = assert!(LISTING.as_secs() < WAIT.as_secs());

/// What was listed last.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    known: Mutex<Known>,
    /// Held by the call that lists.
    listing: tokio::sync::Mutex<()>,
}

/// What is known of an account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The last listing that succeeded. Empty if there was none.
    pub(crate) listed: Arc<Listed>,
    /// Why the last attempt failed, for callers. Empty if it succeeded.
    pub(crate) problem: String,
    /// Until when this is used. `None`: nothing was asked yet.
    until: Option<Instant>,
}

impl Cache {
    /// What is known, listed again if it is too old. A failure is part of what is known.
    pub(crate) async fn get(&self, list: impl AsyncFnOnce() -> Result<Listed, Error>) -> Known {
        let listed = async {
            let _one = self.listing.lock().await;
            // Another call may have listed while this one waited.
            if self.fresh().is_none() {
                let listed = list().await;
                self.known.lock().update(listed);
            }
        };
        if self.fresh().is_none() && timeout(WAIT, Box::pin(listed)).await.is_err() {
            let known = self.known.lock().clone();
            let problem = format!("the models of the account were not listed within {WAIT:?}");
            return Known { problem, ..known };
        }
        self.known.lock().clone()
    }

    fn fresh(&self) -> Option<()> {
        let until = self.known.lock().until?;
        (Instant::now() < until).then_some(())
    }
}

impl Known {
    fn update(&mut self, listed: Result<Listed, Error>) {
        let now = Instant::now();
        match listed {
            Ok(listed) => *self = Self { listed: Arc::new(listed), problem: String::new(), until: Some(now + AGE) },
            Err(error) => {
                warn!(error = %error.for_log(), "the models of the account cannot be listed");
                let reason = error.reason().name();
                self.problem = format!(
                    "the models of the account could not be listed ({reason}). The log of the server says more"
                );
                self.until = Some(now + PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{error::Reason, proto::Model};

    fn listed(name: &str) -> Listed {
        Listed { models: vec![Model { name: name.to_owned(), ..Model::default() }], ..Listed::default() }
    }

    fn failure() -> Error {
        Error::new(Reason::BedrockThrottled, "the account 123456789012 is throttled")
    }

    fn name(known: &Known) -> &str {
        known.listed.models.first().map_or("", |model| &model.name)
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_list_once_and_again_when_it_is_old() {
        let (cache, asked) = (Cache::default(), AtomicUsize::new(0));
        let get = || {
            cache.get(async || {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(1)).await;
                Ok(listed(&number.to_string()))
            })
        };
        for known in join_all((0..100).map(|_| get())).await {
            assert_eq!((name(&known), known.problem.as_str()), ("0", ""));
        }
        advance(AGE / 2).await;
        assert_eq!(name(&get().await), "0");
        advance(AGE / 2).await;
        assert_eq!(name(&get().await), "1");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_what_was_listed_tells_its_reason_alone_and_is_not_repeated_at_once() {
        let cache = Cache::default();
        cache.get(async || Ok(listed("a"))).await;
        advance(AGE).await;
        for _ in 0..2 {
            let known = cache.get(async || Err(failure())).await;
            assert_eq!(name(&known), "a");
            assert!(
                known.problem.contains("BEDROCK_THROTTLED") && !known.problem.contains("1234"),
                "{}",
                known.problem
            );
        }
        let known = cache.get(async || panic!("asked during the pause")).await;
        assert!(!known.problem.is_empty());
        advance(PAUSE).await;
        let known = cache.get(async || Ok(listed("b"))).await;
        assert_eq!((name(&known), known.problem.as_str()), ("b", ""));
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_waits_longer_than_the_bound_and_one_that_leaves_lets_the_next_one_list() {
        let cache = Cache::default();
        let began = Instant::now();
        let waiting = join_all((0..10).map(|_| cache.get(async || pending().await))).await;
        assert!(waiting.iter().all(|known| known.problem.contains("within 5s")));
        assert_eq!(began.elapsed(), WAIT);
        let left = timeout(Duration::from_secs(1), cache.get(async || pending().await)).await;
        assert!(left.is_err());
        assert_eq!(name(&cache.get(async || Ok(listed("a"))).await), "a");
    }
}
