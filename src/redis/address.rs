//! The address of a Redis, a Valkey or a cluster: `redis://[USER@]HOST:PORT[,HOST:PORT...][/DATABASE]`, or `rediss://` for TLS.

use std::fmt;

use outcrop_secret_file::{ExposeSecret, SecretString};
use redis::{ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// How an address is written.
const FORM: &str = "Write redis://HOST:PORT/DATABASE, or rediss://HOST:PORT/DATABASE for TLS. Several nodes of a cluster are written \
                    redis://HOST:PORT,HOST:PORT";

/// Where Redis or Valkey is, and how its server is reached.
#[derive(Clone)]
pub struct RedisSettings {
    /// The address, without a password.
    pub address: String,
    /// The password, if there is one.
    pub password: Option<SecretString>,
    /// The certificates that are trusted in place of the system's, in PEM. For `rediss://` alone.
    pub ca: Option<Vec<u8>>,
}

/// The password and the certificates are not shown.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RedisSettings {
    /// At this address, without a password, with the certificates of the system.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), password: None, ca: None }
    }

    /// What is wrong with these settings, and what to do.
    ///
    /// # Errors
    /// The first problem. It never holds a password.
    pub fn check(&self) -> Result<(), String> {
        self.nodes().map(drop)
    }

    /// The nodes to connect to: one, or some of a cluster.
    pub(super) fn nodes(&self) -> Result<Vec<ConnectionInfo>, String> {
        let address = &self.address;
        let (scheme, rest) = address.split_once("://").ok_or_else(|| format!("it has no scheme. {FORM}"))?;
        if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") {
            return Err(format!("the scheme {scheme:?} is not known. {FORM}"));
        }
        let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        if user.contains(':') {
            return Err(
                "it holds a password, which other users of the machine can read in the list of processes. Write \
                        the password into a file and name that with --conversations-password-file, or set \
                        OUTCROP_CONVERSATIONS_PASSWORD"
                    .to_owned(),
            );
        }
        if let Some((_, option)) = rest.split_once(['?', '#']) {
            return Err(format!("{option:?} in it is not supported: options have flags of their own. {FORM}"));
        }
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(format!("the database is {database:?}; it must be a whole number such as 0. {FORM}"));
        }
        let tls = matches!(scheme, "rediss" | "valkeys");
        if let Some(ca) = &self.ca {
            if !tls {
                return Err(format!(
                    "--conversations-ca is for TLS, and {scheme}:// is not encrypted. Write rediss://"
                ));
            }
            if CertificateDer::pem_slice_iter(ca).next().is_none() {
                return Err("--conversations-ca holds no certificates in PEM".to_owned());
            }
        }
        hosts.split(',').map(|host| self.node(scheme, user, host, database)).collect()
    }

    fn node(&self, scheme: &str, user: &str, host: &str, database: &str) -> Result<ConnectionInfo, String> {
        if host.is_empty() {
            return Err(format!("a host is missing in it. {FORM}"));
        }
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let node = format!("{scheme}://{user}{host}/{database}");
        let node =
            node.into_connection_info().map_err(|error| format!("{host:?} is no HOST:PORT ({error}). {FORM}"))?;
        let mut settings = node.redis_settings().clone();
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose_secret());
        }
        let node = node.set_redis_settings(settings);
        let Some(certificates) = self.certificates() else { return Ok(node) };
        // A client keeps what it has read of the certificates in its connection info.
        let client = redis::Client::build_with_tls(node, certificates);
        let client = client.map_err(|error| format!("--conversations-ca holds no certificates in PEM ({error})"))?;
        Ok(client.get_connection_info().clone())
    }

    /// The certificates to trust, if they are not those of the system.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.ca.clone()?;
        Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(address: &str) -> String {
        RedisSettings::at(address).check().unwrap_err()
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_to_do_and_without_its_password() {
        for (address, said) in [
            ("redis:/localhost", "it has no scheme"),
            ("http://localhost:6379", "the scheme \"http\" is not known"),
            ("redis+sentinel://localhost", "is not known"),
            ("redis://", "a host is missing"),
            ("redis://a:1,,b:2", "a host is missing"),
            ("redis://localhost:port/0", "\"localhost:port\" is no HOST:PORT"),
            ("redis://localhost:99999", "is no HOST:PORT"),
            ("redis://localhost/zero", "the database is \"zero\""),
            ("redis://localhost/-1", "the database is \"-1\""),
            ("rediss://localhost/#insecure", "\"insecure\" in it is not supported"),
            ("redis://localhost?protocol=resp3", "is not supported"),
            ("redis://:swordfish@localhost", "--conversations-password-file"),
            ("redis://user:swordfish@localhost:x", "--conversations-password-file"),
        ] {
            let problem = problem(address);
            assert!(problem.contains(said), "{address}: {problem}");
            assert!(!problem.contains("swordfish"), "{problem}");
            assert!(problem.contains("redis") || problem.contains("--conversations"), "{address}: {problem}");
        }
    }

    #[test]
    fn certificates_are_for_tls_and_must_be_certificates() {
        let with = |address: &str| RedisSettings { ca: Some(b"no certificate".to_vec()), ..RedisSettings::at(address) };
        assert!(with("redis://localhost").check().unwrap_err().contains("Write rediss://"));
        assert!(with("rediss://localhost").check().unwrap_err().contains("holds no certificates"));
        assert!(!format!("{:?}", with("rediss://localhost")).contains("no certificate"));
    }

    #[test]
    fn good_addresses_are_taken_apart() {
        let nodes = |address: &str| RedisSettings::at(address).nodes().unwrap();
        let shown = |address: &str| nodes(address).iter().map(|node| node.addr().to_string()).collect::<Vec<_>>();
        assert_eq!(shown("redis://localhost"), ["localhost:6379"]);
        assert_eq!(shown("rediss://a:1,b:2/"), ["a:1", "b:2"]);
        assert_eq!(shown("valkey://[::1]:7"), ["::1:7"]);
        let node = &nodes("redis://ada@localhost:1/3")[0];
        assert_eq!((node.redis_settings().username(), node.redis_settings().db()), (Some("ada"), 3));
        let with = RedisSettings { password: Some("p@:/".into()), ..RedisSettings::at("redis://localhost") };
        assert_eq!(with.nodes().unwrap()[0].redis_settings().password(), Some("p@:/"));
        assert!(!format!("{with:?}").contains("p@:/"));
    }
}
