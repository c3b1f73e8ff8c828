//! Limits the memory that requests take, of all clients and of each client.
//!
//! A request holds a [`MemoryPermit`] from its first byte until its message is no longer needed. Dropping the permit releases its bytes, so
//! they are released exactly once, however a call ends.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::client::ClientId;
use crate::{
    error::{Error, Quota, Reason},
    metrics::Metrics,
};

/// The maximum size of a small request, in bytes: a long prompt.
const SMALL: u64 = 64 << 10;

/// With a small request, a client can hold this many times the memory that it leaves free. With a large request, it can hold as much as it
/// leaves free, so that small requests of the same client are still served.
const SMALL_SHARES: u64 = 3;

/// The memory for requests. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RequestMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    capacity: u64,
    taken: Mutex<Taken>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    /// Clients without memory are not listed.
    by_client: HashMap<ClientId, u64>,
}

/// What wants memory.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    by: &'static str,
    /// What a caller can do without it.
    instead: &'static str,
}

const REQUEST: Wanted = Wanted { by: "This request", instead: "send less" };
const ANSWER: Wanted =
    Wanted { by: "The answer of this request", instead: "ask for a shorter answer, or for a stream" };

/// The memory that one request has taken. Dropping it releases the memory.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    memory: RequestMemory,
    client: ClientId,
    /// Changed only under the lock of [`Inner::taken`].
    bytes: Mutex<u64>,
}

impl RequestMemory {
    /// A limit of this many bytes for all requests.
    pub(crate) fn new(capacity: usize, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { capacity: capacity as u64, taken: Mutex::default(), metrics }))
    }

    /// A permit without memory.
    pub(crate) fn permit(&self, client: ClientId) -> MemoryPermit {
        MemoryPermit { memory: self.clone(), client, bytes: Mutex::new(0) }
    }

    /// Checks whether a permit that has taken `own` bytes can take `more` bytes now.
    fn check(&self, taken: &Taken, client: &ClientId, [own, more]: [u64; 2], wanted_by: Wanted) -> Result<(), Error> {
        let held = taken.by_client.get(client).copied().unwrap_or_default().saturating_add(more);
        let shares = if own.saturating_add(more) <= SMALL { SMALL_SHARES } else { 1 };
        let free = self.0.capacity.checked_sub(taken.all.saturating_add(more));
        match free {
            Some(free) if held <= free.saturating_mul(shares) => Ok(()),
            _ => Err(self.refusal(client, own.saturating_add(more), wanted_by)),
        }
    }

    fn refusal(&self, client: &ClientId, wanted: u64, Wanted { by, instead }: Wanted) -> Error {
        let capacity = self.0.capacity;
        let subject = format!("caller:{client}");
        let description = format!(
            "requests can take {capacity} bytes (--max-request-memory), and those of {subject} as many as they leave free"
        );
        let quota = Quota { subject, description: description.clone() };
        let needs = format!("{by} takes {wanted} bytes");
        if wanted > capacity / 2 {
            let message = format!("{description}. {needs}, which is never free: {instead}");
            return Error::new(Reason::LocalLimit, message).with_quota(quota).without_retry();
        }
        let message = format!("{description}. {needs}: try again when other requests have ended, or {instead}");
        Error::new(Reason::LocalLimit, message).with_quota(quota)
    }
}

impl MemoryPermit {
    /// Another permit of the same client, without memory.
    pub(crate) fn another(&self) -> Self {
        self.memory.permit(self.client.clone())
    }

    /// Takes more bytes, or none.
    ///
    /// # Errors
    /// `LOCAL_LIMIT` if they are not free, or if the client would hold more than its share.
    pub(crate) fn grow(&self, more: u64) -> Result<(), Error> {
        self.grow_by(more, REQUEST)
    }

    /// The same for an answer that the server holds until it is sent.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) fn grow_by_answer(&self, more: u64) -> Result<(), Error> {
        self.grow_by(more, ANSWER)
    }

    fn grow_by(&self, more: u64, wanted_by: Wanted) -> Result<(), Error> {
        let mut taken = self.memory.0.taken.lock();
        let mut bytes = self.bytes.lock();
        self.memory.check(&taken, &self.client, [*bytes, more], wanted_by)?;
        *bytes += more;
        taken.all += more;
        *taken.by_client.entry(self.client.clone()).or_default() += more;
        self.memory.0.metrics.request_memory(taken.all);
        Ok(())
    }

    /// Releases some bytes.
    pub(crate) fn shrink(&self, less: u64) {
        let mut taken = self.memory.0.taken.lock();
        let mut bytes = self.bytes.lock();
        let less = less.min(*bytes);
        *bytes -= less;
        taken.all -= less;
        if let Some(held) = taken.by_client.get_mut(&self.client) {
            *held -= less;
            if *held == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        self.memory.0.metrics.request_memory(taken.all);
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.shrink(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory(capacity: u64) -> RequestMemory {
        RequestMemory::new(usize::try_from(capacity).unwrap(), Metrics::default())
    }

    fn client(last: u8) -> ClientId {
        ClientId::of_address([192, 0, 2, last].into())
    }

    #[test]
    fn a_client_holds_no_more_than_it_leaves_free() {
        let memory = memory(64 * MIB);
        let first = memory.permit(client(1));
        first.grow(32 * MIB).unwrap();
        assert_eq!(first.grow(1).unwrap_err().reason(), Reason::LocalLimit);
        let second = memory.permit(client(2));
        second.grow(16 * MIB).unwrap();
        assert!(second.grow(1).is_err());
        let third = memory.permit(client(3));
        third.grow(8 * MIB).unwrap();
        drop(first);
        third.grow(16 * MIB).unwrap();
    }

    #[test]
    fn small_requests_of_a_client_are_served_beside_its_large_ones() {
        let memory = memory(64 * MIB);
        let large: Vec<_> =
            (0..100).map(|_| memory.permit(client(1))).filter(|permit| permit.grow(8 * MIB).is_ok()).collect();
        assert_eq!(large.len(), 4);
        let small: Vec<_> =
            (0..1_000).map(|_| memory.permit(client(1))).filter(|permit| permit.grow(SMALL).is_ok()).collect();
        assert_eq!(small.len(), 16 * 16, "up to three quarters");
        memory.permit(client(2)).grow(8 * MIB).unwrap();
    }

    #[test]
    fn what_can_never_be_free_is_not_to_be_tried_again() {
        let memory = memory(MIB);
        let status = memory.permit(client(1)).grow(MIB).unwrap_err().into_status();
        assert!(status.message().contains("never free"), "{}", status.message());
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
        let _held = memory.permit(client(1)).grow(MIB / 2);
        let held = memory.permit(client(2));
        held.grow(MIB / 2).unwrap();
        let status = memory.permit(client(2)).grow(MIB / 4).unwrap_err().into_status();
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    }

    /// After any sequence of operations the sums are those of the remaining permits. Without permits they are zero.
    #[test]
    fn memory_is_released_exactly_once() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let memory = memory(4 * MIB);
        let mut permits: Vec<(u8, u64, MemoryPermit)> = Vec::new();
        for step in 0..20_000 {
            let at = random.usize(..=permits.len());
            match random.u8(..10) {
                0..3 => {
                    let client_number = random.u8(..5);
                    permits.push((client_number, 0, memory.permit(client(client_number))));
                }
                3..8 if at < permits.len() => {
                    let more = random.u64(..MIB / 4);
                    let (_, bytes, permit) = &mut permits[at];
                    if permit.grow(more).is_ok() {
                        *bytes += more;
                    }
                }
                8 if at < permits.len() => {
                    let (_, bytes, permit) = &mut permits[at];
                    let less = random.u64(..MIB);
                    permit.shrink(less);
                    *bytes = bytes.saturating_sub(less);
                }
                _ if at < permits.len() => drop(permits.swap_remove(at)),
                _ => {}
            }
            let taken = memory.0.taken.lock();
            let told = format!("seed {seed}, step {step}");
            assert_eq!(taken.all, permits.iter().map(|(_, bytes, _)| bytes).sum::<u64>(), "{told}");
            assert!(taken.all <= memory.0.capacity, "{told}");
            for number in 0..5 {
                let held: u64 = permits.iter().filter(|(of, ..)| *of == number).map(|(_, bytes, _)| bytes).sum();
                assert_eq!(taken.by_client.get(&client(number)).copied().unwrap_or_default(), held, "{told}");
            }
        }
        drop(permits);
        let taken = memory.0.taken.lock();
        assert_eq!((taken.all, taken.by_client.len()), (0, 0), "seed {seed}");
    }
}
