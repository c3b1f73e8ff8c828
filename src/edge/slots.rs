//! Limits the open connections, in total and of each client address.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{admission::client::ClientId, metrics::Metrics};

/// The slots of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_address: usize,
    /// Counts open and refused connections, if set.
    metrics: Option<Metrics>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<ClientId, usize>,
}

/// The slot of a connection. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    client: ClientId,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Full {
    /// The name of the limit in metrics and log lines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
}

impl Slots {
    pub(super) fn new(max: usize, max_per_address: usize, metrics: Option<Metrics>) -> Self {
        Self(Arc::new(Inner { max, max_per_address, metrics, open: Mutex::default() }))
    }

    /// Takes a slot for a connection of this client.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn take(&self, client: ClientId) -> Result<Slot, Full> {
        let taken = self.try_take(&client);
        if let Some(metrics) = &self.0.metrics {
            match taken {
                Ok(()) => metrics.connection_opened(),
                Err(full) => metrics.connection_refused(full.name()),
            }
        }
        taken.map(|()| Slot { slots: self.clone(), client })
    }

    fn try_take(&self, client: &ClientId) -> Result<(), Full> {
        let mut open = self.0.open.lock();
        let of_client = open.by_client.get(client).copied().unwrap_or_default();
        if open.total >= self.0.max {
            return Err(Full::Total);
        }
        if of_client >= self.0.max_per_address {
            return Err(Full::Address);
        }
        open.total += 1;
        open.by_client.insert(client.clone(), of_client + 1);
        Ok(())
    }

    /// The number of taken slots.
    pub(super) fn taken(&self) -> usize {
        self.0.open.lock().total
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Inner { open, metrics, .. } = &*self.slots.0;
        let mut open = open.lock();
        open.total -= 1;
        // A client without a connection is removed, so that the table does not grow.
        match open.by_client.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.by_client.remove(&self.client)),
        }
        if let Some(metrics) = metrics {
            metrics.connection_closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientId {
        ClientId::of_address(address.parse().unwrap())
    }

    #[test]
    fn one_address_cannot_take_the_slots_of_all() {
        let slots = Slots::new(3, 2, None);
        let (greedy, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let first = slots.take(greedy.clone()).unwrap();
        let _second = slots.take(greedy.clone()).unwrap();
        assert_eq!(slots.take(greedy.clone()).unwrap_err(), Full::Address);
        let _third = slots.take(other.clone()).unwrap();
        assert_eq!(slots.take(other).unwrap_err(), Full::Total);
        drop(first);
        slots.take(greedy).unwrap();
    }

    #[test]
    fn a_client_without_connections_is_forgotten() {
        let slots = Slots::new(10, 10, None);
        for host in 0..=255 {
            drop(slots.take(client(&format!("192.0.2.{host}"))));
        }
        assert!(slots.0.open.lock().by_client.is_empty());
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let slots = Slots::new(10, 1, None);
        let _slot = slots.take(client("2001:db8:1:2::1")).unwrap();
        assert_eq!(slots.take(client("2001:db8:1:2::2")).unwrap_err(), Full::Address);
        slots.take(client("2001:db8:1:3::1")).unwrap();
    }
}
