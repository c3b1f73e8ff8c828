//! Limits the refused credentials of each address per minute that are answered, logged and audited one by one. Valid credentials from the same
//! address are never refused for it, because many callers can share an address.

use std::{num::NonZeroU32, time::Duration};

use super::{
    client::ClientId,
    rate_limit::{ClientRate, RateLimit, Refused},
};

/// The failed attempts that an address has in a minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// The failed attempts of all addresses.
#[derive(Debug, Default)]
pub(crate) struct FailureLimit(RateLimit);

impl FailureLimit {
    /// The time until the address may fail again, if it has failed too often.
    pub(crate) fn throttled(&self, address: &ClientId) -> Option<Duration> {
        match self.0.check(&bucket(address), 1) {
            Err(Refused::Until(wait)) => Some(wait),
            Ok(()) | Err(Refused::Never) => None,
        }
    }

    /// Counts a failed attempt.
    pub(crate) fn failed(&self, address: &ClientId) {
        // An address that has none left is throttled already.
        let _ = self.0.take(&bucket(address), 1);
    }

    /// Removes the addresses that have not failed for a minute.
    pub(crate) fn forget_idle(&self) {
        self.0.forget_idle();
    }
}

fn bucket(address: &ClientId) -> ClientRate {
    ClientRate { client: address.clone(), per_minute: PER_MINUTE, equal_part: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_too_often_waits_and_no_other_does() {
        let (limit, [one, other]) =
            (FailureLimit::default(), [1, 2].map(|n| ClientId::of_address([192, 0, 2, n].into())));
        for _ in 0..PER_MINUTE.get() {
            assert_eq!(limit.throttled(&one), None);
            limit.failed(&one);
        }
        let wait = limit.throttled(&one).unwrap();
        limit.failed(&one);
        assert_eq!((limit.throttled(&one), limit.throttled(&other)), (Some(wait), None), "a wait does not grow");
        tokio::time::advance(wait).await;
        assert_eq!(limit.throttled(&one), None);
    }
}
