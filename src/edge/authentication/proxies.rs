//! The caller behind a proxy: its address from `x-forwarded-for`, its certificate from `x-forwarded-client-cert`, and whether its connection is
//! encrypted from `x-forwarded-proto`. All are taken only from the peers that the operator trusts. The headers are removed from every request, so that no other peer can tell an address or a certificate.

use std::{net::IpAddr, sync::Arc};

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

use crate::{
    admission::client::ClientId,
    edge::tls::{ClientCertificate, OverTls},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const FORWARDED_PROTOCOL: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The headers by which a proxy tells about its client.
const HEADERS: [HeaderName; 6] = [
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_CERTIFICATE,
    HeaderName::from_static("x-forwarded-host"),
    FORWARDED_PROTOCOL,
    HeaderName::from_static("x-real-ip"),
];

/// Whose headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// The networks of trusted proxies.
    pub networks: Vec<IpNet>,
    /// The URI SANs of the client certificates of trusted proxies.
    pub certificates: Vec<String>,
    /// Whether they also tell the certificate of their client, as Envoy does. They must remove the header that a client sends.
    pub forwarded_certificates: bool,
}

/// The trusted proxies. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies(Arc<ProxySettings>);

/// Where a call comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CallerAddress {
    pub(super) address: Option<IpAddr>,
    /// The caller's verified certificate.
    pub(super) certificate: Option<ClientCertificate>,
    /// Whether the connection of the caller is encrypted.
    pub(super) encrypted: bool,
}

impl TrustedProxies {
    pub(crate) fn new(settings: ProxySettings) -> Self {
        Self(Arc::new(settings))
    }

    /// Where a call comes from. Removes the headers of proxies.
    pub(super) fn caller_of(&self, request: &mut Request) -> CallerAddress {
        let caller = self.told(request);
        for name in HEADERS {
            request.headers_mut().remove(name);
        }
        caller
    }

    /// The address that a call comes from, which [`Self::caller_of`] tells too.
    pub(super) fn client_of(&self, request: &Request) -> ClientId {
        self.told(request).address.map_or(ClientId::Unknown, ClientId::of_address)
    }

    fn told(&self, request: &Request) -> CallerAddress {
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let peer = peer.map(|address| address.ip().to_canonical());
        let certificate = request.extensions().get::<ClientCertificate>().cloned();
        let encrypted = request.extensions().get::<OverTls>().is_some();
        let own = CallerAddress { address: peer, certificate, encrypted };
        if self.trust(&own) { self.forwarded(own, request.headers()) } else { own }
    }

    fn trust(&self, peer: &CallerAddress) -> bool {
        peer.address.is_some_and(|address| self.0.networks.iter().any(|network| network.contains(&address)))
            || self.has_certificate_of_proxy(peer)
    }

    fn has_certificate_of_proxy(&self, peer: &CallerAddress) -> bool {
        matches!(&peer.certificate, Some(ClientCertificate::Name(uri)) if self.0.certificates.iter().any(|known| **known == **uri))
    }

    /// What a trusted proxy tells about its client.
    fn forwarded(&self, proxy: CallerAddress, headers: &HeaderMap) -> CallerAddress {
        let certificate = if self.0.forwarded_certificates {
            forwarded_certificate(headers)
        } else if self.has_certificate_of_proxy(&proxy) {
            None
        } else {
            proxy.certificate
        };
        let encrypted = proxy.encrypted && !headers.contains_key(FORWARDED_PROTOCOL) || is_https(headers);
        CallerAddress { address: self.forwarded_address(headers).or(proxy.address), certificate, encrypted }
    }

    /// The last address that is not a proxy's. Every proxy appends the address of its client, so what stands before it was written by the
    /// client.
    fn forwarded_address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lists: Vec<_> =
            headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::to_str).collect::<Result<_, _>>().ok()?;
        let mut nearest = None;
        for written in lists.iter().flat_map(|list| list.split(',')).rev() {
            let Ok(address) = written.trim().parse::<IpAddr>() else { break };
            let address = address.to_canonical();
            nearest = Some(address);
            if !self.0.networks.iter().any(|network| network.contains(&address)) {
                break;
            }
        }
        nearest
    }
}

/// Whether all proxies tell that the connection of their client is encrypted.
fn is_https(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(FORWARDED_PROTOCOL).iter().map(|list| list.to_str().unwrap_or_default());
    let mut protocols = lists.flat_map(|list| list.split(',')).map(str::trim).peekable();
    protocols.peek().is_some() && protocols.all(|protocol| protocol.eq_ignore_ascii_case("https"))
}

/// The URI SAN in the last element of `x-forwarded-client-cert`, which the trusted proxy has written. Exactly one is needed.
fn forwarded_certificate(headers: &HeaderMap) -> Option<ClientCertificate> {
    let last = headers.get_all(FORWARDED_CERTIFICATE).iter().next_back()?.to_str().ok()?;
    let element = unquoted_parts(last, ',')?.pop()?;
    let pairs = unquoted_parts(element, ';')?;
    let mut uris = pairs.iter().filter_map(|pair| pair.trim().strip_prefix("URI="));
    let uri = uris.next().map(|uri| uri.trim_matches('"')).filter(|uri| !uri.is_empty())?;
    uris.next().is_none().then(|| ClientCertificate::Name(uri.into()))
}

/// The parts between separators that are not within quotes. A subject of a certificate is quoted, and can hold separators and escaped quotes.
/// `None` if a quote is not closed.
fn unquoted_parts(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Body;

    use super::*;

    fn caller(proxies: &TrustedProxies, peer: &str, headers: &[(&str, &str)]) -> CallerAddress {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr: Some(peer) });
        let caller = proxies.caller_of(&mut request);
        assert!(request.headers().is_empty(), "{:?}", request.headers());
        caller
    }

    fn trusting(forwarded_certificates: bool) -> TrustedProxies {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        TrustedProxies::new(ProxySettings { networks, forwarded_certificates, ..ProxySettings::default() })
    }

    fn named(uri: &str) -> ClientCertificate {
        ClientCertificate::Name(uri.into())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_trusted_peer_tells_the_address_of_a_caller() {
        let proxies = trusting(true);
        let lies = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-client-cert", "URI=spiffe://a/b"),
            ("x-real-ip", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
        ];
        let stranger = caller(&proxies, "203.0.113.9", &lies);
        assert_eq!(
            stranger,
            CallerAddress { address: Some(address("203.0.113.9")), certificate: None, encrypted: false }
        );
        let behind = caller(&proxies, "10.1.2.3", &lies);
        let certificate = Some(named("spiffe://a/b"));
        assert_eq!(behind, CallerAddress { address: Some(address("192.0.2.1")), certificate, encrypted: true });
        assert_eq!(caller(&proxies, "::ffff:10.1.2.3", &lies).address, Some(address("192.0.2.1")));
        assert_eq!(caller(&trusting(false), "10.1.2.3", &lies).certificate, None);
    }

    #[test]
    fn what_a_client_writes_before_its_proxy_does_not_count() {
        let proxies = trusting(true);
        for (written, told) in [
            ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
            ("1.1.1.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
            ("203.0.113.7, nonsense", "10.1.2.3"),
            ("10.9.9.9", "10.9.9.9"),
            ("", "10.1.2.3"),
        ] {
            assert_eq!(
                caller(&proxies, "10.1.2.3", &[("x-forwarded-for", written)]).address,
                Some(address(told)),
                "{written}"
            );
        }
        for (written, told) in [
            ("By=spiffe://p;URI=spiffe://evil,By=spiffe://p;URI=spiffe://good", Some("spiffe://good")),
            ("URI=spiffe://a;URI=spiffe://b", None),
            ("URI=", None),
            ("Subject=\"CN=a,URI=spiffe://evil\"", None),
            ("Subject=\"CN=a;URI=spiffe://evil", None),
            (r#"Subject="CN=\",URI=spiffe://evil;Z=\"""#, None),
            (r#"Subject="CN=\";URI=spiffe://evil;Z=\"";URI="spiffe://good""#, Some("spiffe://good")),
        ] {
            let told = told.map(named);
            assert_eq!(
                caller(&proxies, "10.1.2.3", &[("x-forwarded-client-cert", written)]).certificate,
                told,
                "{written}"
            );
        }
    }
    #[test]
    fn a_connection_behind_a_proxy_is_encrypted_only_if_every_proxy_tells_so() {
        for (written, encrypted) in [
            (&["https"][..], true),
            (&["HTTPS, https"], true),
            (&["http"], false),
            (&["https, http"], false),
            (&["https", "http"], false),
            (&["wss"], false),
            (&[""], false),
            (&[], false),
        ] {
            let headers: Vec<_> = written.iter().map(|value| ("x-forwarded-proto", *value)).collect();
            assert_eq!(caller(&trusting(false), "10.1.2.3", &headers).encrypted, encrypted, "{written:?}");
        }
    }
}
