//! Refuses requests of browsers that do not come from this server's own page, or use a host name that is not this server's.
//!
//! Any web site can resolve its own name to the address of this server (DNS rebinding). A browser then sends this name as both `Host` and
//! `Origin`, so comparing the two proves nothing. The attacker cannot choose another name: it is neither an IP address nor localhost, and
//! the operator has not allowed it.
//!
//! The check applies to files of the page, to gRPC-Web, and to gRPC calls with `Origin` or `Sec-Fetch-*`. Other gRPC calls are not checked,
//! because a page cannot send them: browsers do not let pages send `te` and trailers, and add `Origin` to cross-origin requests and to POST.
//! So a server behind a Kubernetes service name needs no setting.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::extract::Request;
use http::{
    HeaderMap, HeaderValue, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::{
    edge::protocol::FromWeb,
    error::{Error, Reason},
};

/// The host names that are allowed besides IP addresses and localhost, in lower case, with a port if only this port is allowed.
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts(Arc<[(String, Option<u16>)]>);

impl AllowedHosts {
    /// Parses names. Invalid names are ignored.
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().filter_map(|name| parse(name)).collect())
    }

    /// Checks a gRPC-Web call, or a gRPC call of a browser.
    pub(crate) fn check_call(&self, request: &Request) -> Result<(), Error> {
        if request.extensions().get::<FromWeb>().is_none() && !is_from_browser(request.headers()) {
            return Ok(());
        }
        self.check(request, false)
    }

    /// Checks a request for a file of the page. Navigation from other sites is allowed.
    pub(crate) fn check_file(&self, request: &Request) -> Result<(), Error> {
        self.check(request, header(request, "sec-fetch-mode") == Some("navigate"))
    }

    /// Checks a request that only the server's own page makes.
    pub(crate) fn check_page(&self, request: &Request) -> Result<(), Error> {
        self.check(request, false)
    }

    fn check(&self, request: &Request, is_navigation: bool) -> Result<(), Error> {
        self.check_host(request)?;
        check_site(request, is_navigation)?;
        check_origin(request)
    }

    /// Checks all host names of the request.
    fn check_host(&self, request: &Request) -> Result<(), Error> {
        let mut named = names(request).peekable();
        if named.peek().is_none() {
            return Err(refused("the request names no host. Browsers send the header Host"));
        }
        match named.find(|name| !self.has(name)) {
            Some(unknown) => Err(refused(format!(
                "this server is not known as {unknown:?}. Use its IP address or localhost, or start it with --allowed-host NAME"
            ))),
            None => Ok(()),
        }
    }

    fn has(&self, authority: &str) -> bool {
        let Some((name, port)) = parse(authority) else { return false };
        let is_own = HostKind::of_name(&name) != HostKind::Domain;
        let is_allowed =
            |(allowed, only): &(String, Option<u16>)| *allowed == name && only.is_none_or(|only| port == Some(only));
        is_own || self.0.iter().any(is_allowed)
    }
}

/// Whether this is a host name or IP address, with or without a port.
pub(crate) fn is_host(text: &str) -> bool {
    parse(text).is_some()
}

/// The name in lower case without a final dot, and the port.
fn parse(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let is_name = !host.is_empty()
        && (host.starts_with('[')
            || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    let port_is_valid = authority.port().is_none() == (authority.as_str() == host) && !text.ends_with(':');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (is_name && port_is_valid && !text.contains('@')).then_some((name, authority.port_u16()))
}

/// What a browser calls the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// `localhost`, `*.localhost` or a loopback address.
    Loopback,
    /// Another IP address.
    Address,
    /// A domain name.
    Domain,
}

impl HostKind {
    /// The kind of the host that a request names. `None` if it names none, or hosts of different kinds.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let mut kinds = names(request).map(|name| parse(name).map(|(name, _)| Self::of_name(&name)));
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first)).then_some(first)
    }

    fn of_name(name: &str) -> Self {
        let address = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match address {
            Some(address) if address.to_canonical().is_loopback() => Self::Loopback,
            Some(_) => Self::Address,
            None if name == "localhost" || name.ends_with(".localhost") => Self::Loopback,
            None => Self::Domain,
        }
    }
}

/// All host names of a request.
fn names(request: &Request) -> impl Iterator<Item = &str> {
    let authority = request.uri().authority().map(Authority::as_str);
    authority.into_iter().chain(all(request, HOST.as_str()))
}

/// Whether the headers show that a browser sent the request.
fn is_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

/// Checks `Sec-Fetch-Site`: the request must come from this server's page or directly from the user.
fn check_site(request: &Request, is_navigation: bool) -> Result<(), Error> {
    match all(request, "sec-fetch-site").find(|site| !matches!(*site, "same-origin" | "none")) {
        None => Ok(()),
        Some(_) if is_navigation => Ok(()),
        Some(site) => Err(refused(format!("a {site} page may not call this server. Use the server's own page"))),
    }
}

/// Checks `Origin`: it must equal the host of the request. A request without `Origin` does not come from a page.
fn check_origin(request: &Request) -> Result<(), Error> {
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    if origins.next().is_some() {
        return Err(refused("the request has several Origin headers, and browsers send one"));
    }
    let from = origin.parse::<Uri>().ok().and_then(|uri| Some((uri.scheme()?.clone(), uri.authority()?.clone())));
    // Over HTTP/2 the host is in `:authority`.
    let own = header(request, HOST.as_str()).or_else(|| request.uri().authority().map(Authority::as_str));
    match (from, own) {
        (Some((_, authority)), Some(own)) if authority.as_str().eq_ignore_ascii_case(own) => Ok(()),
        _ => Err(refused(format!("the page of {origin:?} may not call this server. Use the server's own page"))),
    }
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    all(request, name).next()
}

/// All values of a header. A value that is not text becomes an invalid name, which is refused.
fn all<'a>(request: &'a Request, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = request.headers().get_all(name).iter().map(HeaderValue::as_bytes);
    values.map(|value| std::str::from_utf8(value).unwrap_or("?"))
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Reason::OriginNotAllowed, message)
}

#[cfg(test)]
mod tests;
