//! The client of a call: whose limits apply, and which.
//!
//! A configured caller is one client wherever it calls from. On a server without callers, and before a connection has sent a call, a client
//! is the address that it calls from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
};

use crate::quota::settings::{Budget, QueueShare};

/// Names a client. Equal ids share their limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientId {
    /// A caller without an identity, at this address or in this IPv6 network.
    Address(IpAddr),
    /// A configured caller.
    Caller(Arc<str>),
    /// A caller without an identity or an address.
    Unknown,
}

impl ClientId {
    /// The client at this address.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// A host has a /64 network of IPv6 addresses, so the network is the client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Caller(name) => write!(f, "{name}"),
            Self::Unknown => write!(f, "unknown"),
        }
    }
}

/// The limits of one client in place of those for every client. `None` keeps the limit for every client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// The maximum number of running streams.
    pub max_streams: Option<usize>,
    /// The maximum number of requests per minute to methods that call a model.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The maximum number of requests per minute to methods that call no model.
    pub other_requests_per_minute: Option<NonZeroU32>,
    /// The maximum number of tokens per minute.
    pub tokens_per_minute: Option<NonZeroU32>,
}

/// A client with its own limits.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name.
    pub id: ClientId,
    /// Its own limits.
    pub limits: ClientLimits,
    /// Its place among those that wait for the quota of a model.
    pub queue_share: QueueShare,
    /// How much it may use in a day and in a month.
    pub budget: Budget,
}

impl Client {
    /// A client without limits of its own.
    pub fn of(id: ClientId) -> Self {
        let (limits, queue_share, budget) = Default::default();
        Self { id, limits, queue_share, budget }
    }

    /// Whether it may use only so much in a day or a month.
    pub(crate) fn has_budget(&self) -> bool {
        self.budget != Budget::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_host_are_one_client() {
        let network = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
