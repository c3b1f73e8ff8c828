//! Identifies a client by the address that it calls from, because callers have no identities.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use http::Extensions;
use tonic::transport::server::TcpConnectInfo;

/// A client. Equal ids share their limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(Option<IpAddr>);

impl ClientId {
    /// The client of a request with these extensions.
    pub fn of(extensions: &Extensions) -> Self {
        let info = extensions.get::<TcpConnectInfo>();
        Self(info.and_then(TcpConnectInfo::remote_addr).map(|address| network(address.ip())))
    }

    /// The client at this address.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        Self(Some(network(address)))
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
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "unknown"),
        }
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
