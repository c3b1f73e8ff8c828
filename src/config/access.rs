//! The flags about who may reach the server.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{ProxySettings, problems::Problems};
use crate::{
    audit::{AuditSettings, WhenFull},
    edge::connection::is_loopback,
    identity::settings::IdentitySettings,
};

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Serve all clients on an address that others can reach, without callers in the configuration file
    #[arg(long, env = "OUTCROP_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
    /// Who may call server reflection: `all` or `callers` [default: all on a loopback address, otherwise callers]
    #[arg(long, env = "OUTCROP_REFLECTION", value_name = "WHO")]
    pub reflection: Option<String>,
    /// A network of proxies whose x-forwarded-for is trusted, such as 10.0.0.0/8. Repeatable; in the environment networks are separated by `,`
    #[arg(long = "trusted-proxy", env = "OUTCROP_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// The URI SAN of the client certificate of a trusted proxy. Repeatable; in the environment URIs are separated by `,`
    #[arg(long = "trusted-proxy-cert", env = "OUTCROP_TRUSTED_PROXY_CERTS", value_name = "URI", value_delimiter = ',')]
    pub trusted_proxy_certs: Vec<String>,
    /// Take the client certificate from the x-forwarded-client-cert of trusted proxies
    #[arg(long, env = "OUTCROP_FORWARDED_CLIENT_CERTS")]
    pub forwarded_client_certs: bool,
    /// The file of the audit log: a line of JSON for each call, each refused credential and each change of callers [default: none]
    #[arg(long, env = "OUTCROP_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// If the audit log cannot be written in time: `drop` loses and counts lines, `refuse` serves no call without its line
    #[arg(long, env = "OUTCROP_AUDIT_WHEN_FULL", default_value = "drop", value_name = "POLICY")]
    pub audit_when_full: String,
    /// At start, print a link to standard error that signs a browser in to the page as this caller. It works once, for 10 minutes, and only
    /// if the server listens on a loopback address
    #[arg(long, env = "OUTCROP_PAGE_LOGIN", value_name = "CALLER")]
    pub page_login: Option<String>,
}

/// The addresses that the server listens on.
pub(super) struct Listening {
    pub(super) calls: SocketAddr,
    pub(super) metrics: Option<SocketAddr>,
}

impl Listening {
    /// Those that other machines can reach, with their flags.
    pub(super) fn reachable(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let addresses = [("--listen", Some(self.calls)), ("--metrics-listen", self.metrics)];
        let all = addresses.into_iter().filter_map(|(flag, address)| Some((flag, address?)));
        all.filter(|(_, address)| !is_loopback(*address))
    }
}

impl AccessArgs {
    /// Checks that no client is served by accident: an address that others can reach needs callers, or a flag that says otherwise.
    pub(super) fn guard(&self, listening: &Listening, identity: &IdentitySettings, problems: &mut Problems<'_>) {
        if self.insecure_no_auth && !identity.callers.is_empty() {
            problems.add(
                "--insecure-no-auth serves all clients, and the configuration file has callers. Leave one of them out",
            );
        }
        if self.insecure_no_auth || !identity.callers.is_empty() {
            return;
        }
        for (flag, address) in listening.reachable() {
            problems.add(format!(
                "{flag} is {address}, which others can reach, and there are no callers. Add a [[caller]] to the configuration file \
                 (outcrop keys new --caller NAME), listen on 127.0.0.1, or serve all clients with --insecure-no-auth"
            ));
        }
    }

    /// The caller of the link to sign in to the page.
    pub(super) fn page_login(
        &self,
        page: bool,
        listening: &Listening,
        identity: &IdentitySettings,
        problems: &mut Problems<'_>,
    ) -> Option<String> {
        let name = self.page_login.as_deref().map(str::trim).filter(|name| !name.is_empty())?;
        let names: Vec<_> = identity.callers.iter().map(|caller| caller.name.as_str()).collect();
        if names.is_empty() {
            problems.add(format!(
                "--page-login is {name:?}, and there are no callers. Without callers the page needs no sign-in"
            ));
        } else if !names.contains(&name) {
            problems.add(format!(
                "--page-login is {name:?}, and no [[caller]] has this name. There are: {}",
                names.join(", ")
            ));
        }
        if !page {
            problems.add("--page-login needs the page. Leave it out, or leave --no-page out");
        }
        if !listening.calls.ip().to_canonical().is_loopback() {
            problems.add(format!(
                "--page-login works only on a loopback address, and --listen is {}. Sign in with a key there",
                listening.calls
            ));
        }
        Some(name.to_owned())
    }

    /// Whether all clients may call reflection, if it is set.
    pub(super) fn open_reflection(&self, problems: &mut Problems<'_>) -> Option<bool> {
        match self.reflection.as_deref().map(str::trim).filter(|who| !who.is_empty())? {
            "all" => Some(true),
            "callers" => Some(false),
            other => {
                problems.add(format!("--reflection is {other:?}; it must be all or callers"));
                None
            }
        }
    }

    /// The audit log. `reads_files` is off for a running server, which has opened it.
    pub(super) fn audit(&self, reads_files: bool, problems: &mut Problems<'_>) -> Option<AuditSettings> {
        let when_full = match self.audit_when_full.trim() {
            "drop" => WhenFull::Drop,
            "refuse" => WhenFull::Refuse,
            other => {
                problems.add(format!("--audit-when-full is {other:?}; it must be drop or refuse"));
                WhenFull::Drop
            }
        };
        let path = self.audit_log.clone().filter(|path| !path.as_os_str().is_empty())?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| reads_files && !folder.is_dir()) {
            let folder = folder.display();
            problems.add(format!(
                "--audit-log is {}, whose folder {folder} does not exist. Run: mkdir -p {folder}",
                path.display()
            ));
        }
        Some(AuditSettings { path, when_full })
    }

    /// Reports certificates of proxies, which match nothing, because no client is asked for one.
    pub(super) fn refuse_certificates(&self, problems: &mut Problems<'_>) {
        if self.trusted_proxy_certs.iter().any(|uri| !uri.trim().is_empty()) {
            problems.add(
                "--trusted-proxy-cert matches nothing: clients are not asked for certificates. Set --tls-client-ca, or leave it out",
            );
        }
    }

    pub(super) fn proxies(&self, problems: &mut Problems<'_>) -> ProxySettings {
        let written = |values: &[String]| -> Vec<String> {
            values.iter().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
        };
        let wanted = "a network, such as 10.0.0.0/8 or 192.0.2.7/32";
        let names = written(&self.trusted_proxies);
        let networks: Vec<_> =
            names.iter().filter_map(|text| problems.parse("--trusted-proxy", text, wanted)).collect();
        let certificates = written(&self.trusted_proxy_certs);
        for uri in certificates.iter().filter(|uri| !uri.contains("://")) {
            problems.add(format!("--trusted-proxy-cert is {uri:?}; it must be a URI, such as spiffe://example/proxy"));
        }
        if self.forwarded_client_certs && names.is_empty() && certificates.is_empty() {
            problems.add("--forwarded-client-certs needs proxies to trust. Name them with --trusted-proxy or --trusted-proxy-cert");
        }
        ProxySettings { networks, certificates, forwarded_certificates: self.forwarded_client_certs }
    }
}
