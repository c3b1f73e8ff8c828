//! What `outcrop serve` writes to standard error when it has started: where it is reached, what it answers from, and what is not protected.
//!
//! The lines are for people, on a terminal and in a log of text. A log of JSON gets the same as one event ([`Banner::log`]).

use std::{fmt, net::SocketAddr};

use tracing::info;

use super::summary;
use crate::{bedrock::UpstreamSettings, config::Settings, edge::connection::is_loopback};

/// Where a server was bound, and the region that it asks.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// Where it listens for calls.
    pub address: SocketAddr,
    /// Where its metrics are, if they are served.
    pub metrics: Option<SocketAddr>,
    /// The AWS region of the server.
    pub region: &'a str,
}

/// The facts about a server that has started. It has no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    version: &'static str,
    page: String,
    metrics: String,
    upstream: String,
    models: String,
    callers: String,
    conversations: String,
    limits: String,
    unprotected: String,
}

impl Banner {
    /// The facts about a server with these settings.
    pub fn new(settings: &Settings, started: Started<'_>) -> Self {
        let Started { address, metrics, region } = started;
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let url = |address, path| format!("{scheme}://{}{path}", reached(address));
        let page = if settings.page { url(address, "/") } else { format!("off; calls at {}", url(address, "")) };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            page,
            metrics: metrics.map_or_else(|| "off".to_owned(), |metrics| url(metrics, "/metrics")),
            upstream: match settings.upstream {
                UpstreamSettings::Aws { .. } => format!("AWS, {region}"),
                UpstreamSettings::Local { .. } => "the emulator in this process".to_owned(),
            },
            models: summary::models(settings),
            callers: summary::callers(settings),
            conversations: summary::storage(settings),
            limits: summary::limits(settings),
            unprotected: unprotected(settings, address, metrics),
        }
    }

    /// Writes the facts as one event of the log.
    pub fn log(&self) {
        let Self { version, page, metrics, upstream, models, callers, conversations, limits, unprotected } = self;
        info!(version, page, metrics, upstream, models, callers, conversations, limits, unprotected, "started");
    }
}

/// A line for each fact, in columns.
impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "outcrop {}", self.version)?;
        for (name, fact) in [
            ("page", &self.page),
            ("metrics", &self.metrics),
            ("answers from", &self.upstream),
            ("models", &self.models),
            ("callers", &self.callers),
            ("conversations", &self.conversations),
            ("limits", &self.limits),
            ("not protected", &self.unprotected),
        ] {
            writeln!(f, "  {name:<15}{fact}")?;
        }
        Ok(())
    }
}

/// An address at which this machine reaches a server that was bound to this one.
fn reached(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// What others can do who reach the addresses.
fn unprotected(settings: &Settings, address: SocketAddr, metrics: Option<SocketAddr>) -> String {
    let is_open = settings.identity.callers.is_empty();
    let reflection = settings.open_reflection.unwrap_or_else(|| is_loopback(settings.listen));
    // The metrics ask for a caller on an address that other machines can reach.
    let open_metrics = metrics.is_some_and(|metrics| is_open || is_loopback(metrics));
    let facts = [
        (settings.tls.is_none(), "connections are not encrypted"),
        (is_open, "all clients may call"),
        (!is_open && reflection, "all clients may call reflection"),
        (!is_open && open_metrics, "all clients may read the metrics"),
    ];
    let facts: Vec<_> = facts.into_iter().filter(|(holds, _)| *holds).map(|(_, fact)| fact).collect();
    let alone = [Some(address), metrics].into_iter().flatten().all(is_loopback);
    match (facts.is_empty(), alone) {
        (true, _) => "nothing is open".to_owned(),
        (false, true) => format!("{}; only this machine can connect", facts.join(", ")),
        (false, false) => format!("{}; OTHER MACHINES CAN CONNECT", facts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::TlsSettings,
        failover::routes::Routes,
        identity::settings::{CallerSettings, IdentitySettings},
        request::alias::Alias,
    };

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn fact(banner: &Banner, name: &str) -> String {
        let text = banner.to_string();
        let line =
            text.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.trim().to_owned()
    }

    #[test]
    fn a_local_server_says_where_its_page_is_and_that_it_is_open_to_this_machine_alone() {
        let started = Started { address: at(50051), metrics: None, region: "us-east-1" };
        let banner = Banner::new(&Settings::local(), started);
        let text = banner.to_string();
        assert!(text.starts_with(concat!("outcrop ", env!("CARGO_PKG_VERSION"), "\n")), "{text}");
        assert!(
            text.lines().count() <= 10
                && text.lines().skip(1).all(|line| line.is_char_boundary(17) && !line[17..].starts_with(' ')),
            "{text}"
        );
        assert_eq!(fact(&banner, "page"), "http://127.0.0.1:50051/");
        assert_eq!(fact(&banner, "answers from"), "the emulator in this process");
        assert_eq!(fact(&banner, "models"), "default emulator.default; routes none; aliases none");
        assert_eq!(
            fact(&banner, "not protected"),
            "connections are not encrypted, all clients may call; only this machine can connect"
        );
    }

    #[test]
    fn a_server_for_others_names_its_models_and_what_is_open() {
        let routes: Vec<_> = ('a'..='j').map(|name| format!("{name}=x.y")).collect();
        let mut settings =
            Settings { upstream: UpstreamSettings::Aws { region: None }, page: false, ..Settings::local() };
        settings.rules.routes = Routes::parse(&routes, 3).unwrap();
        settings.rules.aliases.insert("j".to_owned(), Alias::default());
        let mut started = Started {
            address: "0.0.0.0:443".parse().unwrap(),
            metrics: Some("[::]:9090".parse().unwrap()),
            region: "eu-west-1",
        };
        let banner = Banner::new(&settings, started);
        assert_eq!(fact(&banner, "page"), "off; calls at http://localhost:443");
        assert_eq!(fact(&banner, "metrics"), "http://localhost:9090/metrics");
        assert_eq!(fact(&banner, "answers from"), "AWS, eu-west-1");
        assert_eq!(fact(&banner, "models"), "default emulator.default; routes a, b, c, d, e, f and 3 more; aliases j");
        assert!(fact(&banner, "not protected").ends_with("all clients may call; OTHER MACHINES CAN CONNECT"));
        settings.identity =
            IdentitySettings { callers: vec![CallerSettings::default()], ..IdentitySettings::default() };
        settings.open_reflection = Some(false);
        let (certificate, key) = ("c".into(), "k".into());
        settings.tls =
            Some(TlsSettings { certificate, key, clients: None, reload_interval: TlsSettings::RELOAD_INTERVAL });
        assert_eq!(fact(&Banner::new(&settings, started), "not protected"), "nothing is open");
        started.metrics = Some(at(9090));
        assert!(
            fact(&Banner::new(&settings, started), "not protected").starts_with("all clients may read the metrics")
        );
    }
}
