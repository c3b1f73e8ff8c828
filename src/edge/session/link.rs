//! The link that signs a browser in once, for the operator on the machine of the server. `serve` prints it at start.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::error::Unspecified;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::identity::key::{NewKey, PresentedKey};

/// The path of the link, below that of the page.
pub(crate) const PATH: &str = "/login";

/// The time for which the link works.
const VALID: Duration = Duration::from_mins(10);

/// A link. Clones share it.
#[derive(Clone)]
pub(crate) struct OneTimeLink(Arc<Inner>);

struct Inner {
    caller: String,
    expires_at: Instant,
    /// The hash of the code, until it is used.
    unused: Mutex<Option<[u8; 32]>>,
}

impl OneTimeLink {
    /// A link for a caller, and its code. The code has the form of an API key, and is none.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn new(caller: &str) -> Result<(Self, NewKey), Unspecified> {
        let code = NewKey::generate()?;
        let (expires_at, unused) = (Instant::now() + VALID, Mutex::new(Some(code.hash())));
        Ok((Self(Arc::new(Inner { caller: caller.to_owned(), expires_at, unused })), code))
    }

    /// The name of the caller, if this is the code, it was not used before, and its time has not passed. The code is then used.
    pub(super) fn redeem(&self, code: &str) -> Option<&str> {
        let Inner { caller, expires_at, unused } = &*self.0;
        let code = PresentedKey::parse(code)?;
        let mut unused = unused.lock();
        if !unused.is_some_and(|known| code.is(&known)) || Instant::now() >= *expires_at {
            return None;
        }
        *unused = None;
        Some(caller)
    }
}

impl fmt::Debug for OneTimeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimeLink").field("caller", &self.0.caller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_code_works_once_and_within_its_time() {
        let ((link, code), (later, code_of_later)) =
            (OneTimeLink::new("ada").unwrap(), OneTimeLink::new("ada").unwrap());
        let longer = format!("{}x", code.text());
        for wrong in ["", "x", code_of_later.text(), &code.text()[1..], &longer] {
            assert_eq!(link.redeem(wrong), None);
        }
        advance(VALID.checked_sub(Duration::from_millis(1)).unwrap()).await;
        assert_eq!(link.clone().redeem(code.text()), Some("ada"));
        assert_eq!(link.redeem(code.text()), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(later.redeem(code_of_later.text()), None);
    }

    #[test]
    fn of_many_at_once_one_redeems_the_code() {
        for _ in 0..100 {
            let (link, code) = OneTimeLink::new("ada").unwrap();
            let redeemed: usize = thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| usize::from(link.redeem(code.text()).is_some()))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(redeemed, 1);
        }
    }
}
