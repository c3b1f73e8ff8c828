//! The settings of the exporter.

use std::{fmt, time::Duration};

use http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use outcrop_secret_file::{ExposeSecret, SecretString};

/// Where traces and metrics are sent, and what.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// The URL of the collector: http or https, a host and a port.
    pub endpoint: String,
    /// Headers of every export, such as one that authorizes it.
    pub headers: Vec<Header>,
    /// The certificate authorities to trust, in PEM. `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    /// Whether traces are sent.
    pub traces: bool,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// `service.name` of the resource.
    pub service_name: String,
    /// The share of traces without a sampled parent that are sent, from 0 to 1. `None`: what `OTEL_TRACES_SAMPLER` says.
    pub sample_ratio: Option<f64>,
    /// The time for one export.
    pub timeout: Duration,
}

impl OtlpSettings {
    /// The default time for one export.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The longest time for one export.
    pub const MAX_TIMEOUT: Duration = Duration::from_mins(1);

    /// Sends everything to this collector.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            ca: None,
            traces: true,
            metrics: true,
            service_name: "outcrop".to_owned(),
            sample_ratio: None,
            timeout: Self::TIMEOUT,
        }
    }
}

/// A header of every export. Its value is a secret.
#[derive(Clone)]
pub struct Header {
    name: HeaderName,
    value: SecretString,
}

impl Header {
    /// Parses `NAME: VALUE`.
    ///
    /// # Errors
    /// What is wrong, without the line. The text continues "a file, whose line 3 …".
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let (name, value) = line.split_once(':').ok_or("is not NAME: VALUE")?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| "has no name of a header before the colon")?;
        let value = value.trim();
        if value.is_empty() || HeaderValue::from_str(value).is_err() || !value.is_ascii() {
            return Err("has no value of a header after the colon");
        }
        if name.as_str().starts_with("grpc-") || name.as_str().ends_with("-bin") {
            return Err("has a name that is reserved in gRPC: grpc-… or …-bin");
        }
        Ok(Self { name, value: SecretString::from(value) })
    }

    /// Its name, and its value, which does not appear in `Debug`.
    pub(super) fn parts(&self) -> Option<(HeaderName, HeaderValue)> {
        let mut value = HeaderValue::from_str(self.value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some((self.name.clone(), value))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [REDACTED]", self.name)
    }
}

/// What is wrong with the URL of a collector. The text continues the name of the flag, and does not repeat a password.
pub fn endpoint_problem(endpoint: &str) -> Option<String> {
    if endpoint.contains('@') {
        return Some(
            "has a user or a password, which all readers of the settings can see. Use --otlp-headers-file".to_owned(),
        );
    }
    let wanted = "it must be http:// or https:// with a host and a port, such as http://127.0.0.1:4317";
    let wrong = || Some(format!("is {endpoint:?}; {wanted}"));
    let Ok(uri) = endpoint.parse::<Uri>() else { return wrong() };
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.host().is_none_or(str::is_empty) {
        return wrong();
    }
    if uri.path_and_query().is_some_and(|path| path != "/") {
        return Some(format!("is {endpoint:?}; OTLP over gRPC has no path. Remove it, and name the port for gRPC"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_collector_is_checked_without_repeating_a_password() {
        for url in ["http://127.0.0.1:4317", "https://collector.example:4317/", "http://[::1]:4317", "http://otel"] {
            assert_eq!(endpoint_problem(url), None, "{url}");
        }
        for url in ["collector:4317", "127.0.0.1:4317", "grpc://a:1", "http://", "", "http:///x"] {
            assert!(endpoint_problem(url).is_some_and(|problem| problem.contains("it must be http://")), "{url}");
        }
        assert!(endpoint_problem("http://a:4318/v1/traces").is_some_and(|problem| problem.contains("has no path")));
        let problem = endpoint_problem("https://me:swordfish@a:4317").unwrap();
        assert!(problem.contains("--otlp-headers-file") && !problem.contains("swordfish"), "{problem}");
    }

    #[test]
    fn the_value_of_a_header_is_in_no_output() {
        let header = Header::parse("Authorization: Bearer swordfish").unwrap();
        let (name, value) = header.parts().unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("authorization", &b"Bearer swordfish"[..]));
        assert!(!format!("{header:?} {value:?}").contains("swordfish"));
        for line in [
            "swordfish",
            "a b: swordfish",
            ": swordfish",
            "a:",
            "a: sword\u{7}fish",
            "grpc-x: swordfish",
            "x-bin: swordfish",
        ] {
            let problem = Header::parse(line).unwrap_err();
            assert!(!problem.contains("swordfish"), "{line}: {problem}");
        }
    }
}
