//! Who calls. Until callers have identities it is the address that they call from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use tonic::{Request, transport::server::TcpConnectInfo};

/// A caller: equal for all calls that share one's limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(Option<IpAddr>);

impl ClientId {
    /// Who makes this call.
    pub fn of<T>(request: &Request<T>) -> Self {
        let info = request.extensions().get::<TcpConnectInfo>();
        Self(info.and_then(TcpConnectInfo::remote_addr).map(|address| network(address.ip())))
    }
}

/// One host has a whole /64 of IPv6 addresses, so that is what counts as one caller.
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
    fn the_addresses_of_one_host_are_one_caller() {
        let network = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
