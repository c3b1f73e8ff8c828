//! The signatures that were used. A signature has no nonce, so equal requests of one second have equal signatures: those of calls at once that ask
//! the same, and of a retry. They are accepted from the address that used the signature first, for a few seconds. Any other use is a replay.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use crate::admission::client::ClientId;

/// How long a signature can be used after its first use. Equal requests are signed in the same second, and come soon after each other.
pub(super) const REPEATED: Duration = Duration::from_secs(5);

/// The most signatures that are remembered, which is that many signed calls in the time for which signatures are valid.
const REMEMBERED: usize = 1 << 20;

/// Fewer are not worth the search for those that are no longer valid.
const FEW: usize = 1 << 10;

/// Why a signature cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It was used before.
    Replayed,
    /// Too many signatures are remembered.
    Full,
}

/// The first use of a signature.
struct FirstUse {
    client: ClientId,
    at: SystemTime,
    /// The signature is not valid after this.
    until: SystemTime,
}

/// Remembers each signature for as long as it is valid.
#[derive(Default)]
pub(super) struct Used(HashMap<u128, FirstUse>);

impl Used {
    /// The client at this address uses a signature, which is valid `until` then.
    ///
    /// # Errors
    /// [`Unusable`].
    pub(super) fn by(
        &mut self,
        digits: &str,
        client: &ClientId,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<(), Unusable> {
        let number = u128::from_str_radix(digits.get(..32).unwrap_or_default(), 16).unwrap_or_default();
        // From time to time, so that what is remembered is in proportion to the calls.
        if self.0.len() >= REMEMBERED || (self.0.len() >= FEW && self.0.len().is_power_of_two()) {
            self.0.retain(|_, first| first.until >= now);
        }
        if self.0.len() >= REMEMBERED {
            return Err(Unusable::Full);
        }
        let first = self.0.entry(number).or_insert_with(|| FirstUse { client: client.clone(), at: now, until });
        let age = now.duration_since(first.at).unwrap_or_default();
        if first.client == *client && age <= REPEATED { Ok(()) } else { Err(Unusable::Replayed) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: &str = "11111111111111111111111111111111aaaa";
    const OTHER: &str = "21111111111111111111111111111111aaaa";

    fn client(last: u8) -> ClientId {
        ClientId::of_address(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn a_signature_is_used_again_by_the_same_address_within_seconds() {
        let (mut used, start) = (Used::default(), SystemTime::UNIX_EPOCH + Duration::from_hours(9));
        let until = start + Duration::from_mins(5);
        let second = Duration::from_secs(1);
        for (digits, from, after, expected) in [
            (ONE, 1, 0, Ok(())),
            (ONE, 1, 0, Ok(())),
            (ONE, 2, 0, Err(Unusable::Replayed)),
            (OTHER, 2, 1, Ok(())),
            (ONE, 1, 5, Ok(())),
            // A use does not make it usable for longer.
            (ONE, 1, 6, Err(Unusable::Replayed)),
            (OTHER, 2, 6, Ok(())),
            (ONE, 1, 299, Err(Unusable::Replayed)),
        ] {
            assert_eq!(
                used.by(digits, &client(from), start + after * second, until),
                expected,
                "{digits} {from} {after}"
            );
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_make_a_replay_valid_elsewhere() {
        let (mut used, start) = (Used::default(), SystemTime::UNIX_EPOCH + Duration::from_hours(9));
        let until = start + Duration::from_mins(5);
        assert_eq!(used.by(ONE, &client(1), start, until), Ok(()));
        let earlier = start - Duration::from_mins(1);
        assert_eq!(used.by(ONE, &client(1), earlier, until), Ok(()));
        assert_eq!(used.by(ONE, &client(2), earlier, until), Err(Unusable::Replayed));
    }

    #[test]
    fn signatures_that_are_no_longer_valid_are_forgotten() {
        let (mut used, start) = (Used::default(), SystemTime::UNIX_EPOCH + Duration::from_hours(9));
        let until = start + Duration::from_mins(5);
        for number in 0..FEW {
            assert_eq!(used.by(&format!("{number:032x}"), &client(1), start, until), Ok(()));
        }
        let later = until + Duration::from_secs(1);
        assert_eq!(used.by(ONE, &client(1), later, later + Duration::from_mins(5)), Ok(()));
        assert_eq!(used.0.len(), 1);
    }
}
