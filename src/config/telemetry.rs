//! The flags about log lines, and about traces and metrics by OTLP, and the standard variables `OTEL_*` beside them.

use std::{fmt, time::Duration};

use clap::Args;
use outcrop_secret_file::ExposeSecret;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    Layers,
    file::read,
    origin::Origin,
    problems::Problems,
    standard::{ENDPOINT, STANDARD_OF_FLAGS},
};
use crate::telemetry::{
    logs::LogFormat,
    otlp::settings::{Header, OtlpSettings, endpoint_problem},
};

/// The signals that can be sent.
const SIGNALS: [&str; 2] = ["traces", "metrics"];

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// How log lines are written: `text` for people, or `json`, an object on each line
    #[arg(long, env = "OUTCROP_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: String,
    /// The OpenTelemetry collector that gets traces and metrics by OTLP over gRPC, such as http://127.0.0.1:4317
    /// [default: OTEL_EXPORTER_OTLP_ENDPOINT; without it nothing is sent]
    // An address can contain a password, which is refused, and which `--help` would print.
    #[arg(long, env = "OUTCROP_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// A file with headers for the collector, one `NAME: VALUE` a line, which only its owner can read. They are added to those of
    /// OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, env = "OUTCROP_OTLP_HEADERS_FILE", value_name = "FILE")]
    pub otlp_headers_file: Option<String>,
    /// For https://: a PEM file with the certificate authorities to trust
    /// [default: OTEL_EXPORTER_OTLP_CERTIFICATE; otherwise those of the system]
    #[arg(long, env = "OUTCROP_OTLP_CA", value_name = "FILE")]
    pub otlp_ca: Option<String>,
    /// What is sent: `traces`, `metrics`, or both with a comma
    #[arg(long, env = "OUTCROP_OTLP_SIGNALS", default_value = "traces,metrics", value_name = "SIGNALS")]
    pub otlp_signals: String,
    /// The name of this service in traces and metrics [default: OTEL_SERVICE_NAME; otherwise outcrop]
    #[arg(long, env = "OUTCROP_OTLP_SERVICE_NAME", value_name = "NAME")]
    pub otlp_service_name: Option<String>,
    /// The share of traces that are sent, from 0 to 1, of calls without `traceparent`. With `traceparent` the caller decides
    /// [default: what OTEL_TRACES_SAMPLER says; otherwise 1]
    #[arg(long, env = "OUTCROP_TRACE_SAMPLE_RATIO", value_name = "RATIO")]
    pub trace_sample_ratio: Option<String>,
}

impl fmt::Debug for TelemetryArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryArgs").finish_non_exhaustive()
    }
}

impl TelemetryArgs {
    /// How log lines are written.
    pub(super) fn log_format(&self, problems: &mut Problems) -> LogFormat {
        LogFormat::by_name(&self.log_format).unwrap_or_else(|| {
            problems.add(format!("--log-format is {:?}; it must be text or json", self.log_format));
            LogFormat::Text
        })
    }

    /// The settings of the exporter. `None` if nothing is sent. Files are not read for a running server, which has read them: one that is
    /// missing now must not keep a key from being revoked.
    pub(super) fn otlp(&self, layers: &Layers, problems: &mut Problems) -> Option<OtlpSettings> {
        let reads_files = !layers.of_running_server;
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let (mut traces, mut metrics) = self.signals(problems);
        traces &= layers.standard("OTEL_TRACES_EXPORTER") != Some("none");
        metrics &= layers.standard("OTEL_METRICS_EXPORTER") != Some("none");
        let headers = set(&self.otlp_headers_file)
            .filter(|_| reads_files)
            .map(|path| Self::headers(&path, problems))
            .unwrap_or_default();
        let ca = self.ca(layers, problems);
        let sample_ratio = set(&self.trace_sample_ratio).and_then(|ratio| Self::ratio(&ratio, problems));
        let Some(endpoint) = set(&self.otlp_endpoint) else {
            for (flag, value) in [("headers-file", &self.otlp_headers_file), ("ca", &self.otlp_ca)] {
                let unused = set(value).is_some() && *layers.origins.of(&format!("otlp-{flag}")) != of_standard(flag);
                if unused {
                    problems.add(format!("--otlp-{flag} is for a collector, and --otlp-endpoint names none"));
                }
            }
            return None;
        };
        if let Some(problem) = endpoint_problem(&endpoint) {
            problems.add(format!("--otlp-endpoint {problem}"));
        } else if ca.is_some() && endpoint.starts_with("http:") {
            problems.add(
                "--otlp-ca is for TLS, and --otlp-endpoint begins with http://. Write https://, or leave --otlp-ca out",
            );
        }
        let by_standard = *layers.origins.of("otlp-endpoint") == Origin::Environment(ENDPOINT.to_owned());
        if let Some(protocol) =
            layers.standard("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|name| *name != "grpc" && by_standard)
        {
            problems.add(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol:?}, and this program sends OTLP by grpc alone. Set --otlp-endpoint to the gRPC port of the collector, such as http://127.0.0.1:4317"
            ));
        }
        let disabled = layers.standard("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let service_name = set(&self.otlp_service_name).unwrap_or_else(|| "outcrop".to_owned());
        let timeout = Self::timeout(layers, problems);
        let settings = OtlpSettings { endpoint, headers, ca, traces, metrics, service_name, sample_ratio, timeout };
        (!disabled && (traces || metrics)).then_some(settings)
    }

    /// The certificate authorities, in PEM. The standard variable can be meant for other programs, so it is read for https:// alone.
    fn ca(&self, layers: &Layers, problems: &mut Problems) -> Option<Vec<u8>> {
        let path = self.otlp_ca.clone().filter(|path| !path.is_empty() && !layers.of_running_server)?;
        let is_tls = self.otlp_endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("https:"));
        if !is_tls && *layers.origins.of("otlp-ca") == of_standard("ca") {
            return None;
        }
        let pem = read(&path).map_err(|problem| problems.add(format!("--otlp-ca is {path:?}, {problem}"))).ok()?;
        if CertificateDer::pem_slice_iter(&pem).next().is_none_or(|first| first.is_err()) {
            problems
                .add(format!("--otlp-ca is {path:?}, which has no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
        }
        Some(pem)
    }

    /// Whether traces and metrics are sent.
    fn signals(&self, problems: &mut Problems) -> (bool, bool) {
        let named: Vec<_> = self.otlp_signals.split(',').map(str::trim).collect();
        if named.iter().any(|name| !SIGNALS.contains(name)) {
            let wanted = "traces, metrics or traces,metrics";
            problems.add(format!("--otlp-signals is {:?}; it must be {wanted}", self.otlp_signals));
        }
        (named.contains(&"traces"), named.contains(&"metrics"))
    }

    fn ratio(text: &str, problems: &mut Problems) -> Option<f64> {
        let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            problems.add(format!("--trace-sample-ratio is {text:?}; it must be a number from 0 to 1, such as 0.1"));
        }
        ratio
    }

    /// The time for an export, which the standard variable has in milliseconds.
    fn timeout(layers: &Layers, problems: &mut Problems) -> Duration {
        let name = "OTEL_EXPORTER_OTLP_TIMEOUT";
        let Some(text) = layers.standard(name) else { return OtlpSettings::TIMEOUT };
        match text.trim().parse() {
            Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds).min(OtlpSettings::MAX_TIMEOUT),
            _ => {
                problems.add(format!("{name} is {text:?}; it must be a number of milliseconds, at least 1"));
                OtlpSettings::TIMEOUT
            }
        }
    }

    /// The headers of a file. No problem quotes a line, because it has a secret.
    fn headers(path: &str, problems: &mut Problems) -> Vec<Header> {
        let Some(text) = problems.secret_file("--otlp-headers-file", path) else { return Vec::new() };
        let lines = text.expose_secret().lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut headers = Vec::new();
        for (index, line) in lines {
            match Header::parse(line) {
                Ok(header) => headers.push(header),
                Err(problem) => {
                    let line = index + 1;
                    problems.add(format!("--otlp-headers-file is {path:?}, whose line {line} {problem}"));
                }
            }
        }
        headers
    }
}

/// The origin of a flag whose value comes from its standard variable.
fn of_standard(flag: &str) -> Origin {
    let name = STANDARD_OF_FLAGS.iter().find(|(of, _)| of.strip_prefix("otlp-") == Some(flag));
    name.map_or(Origin::Default, |(_, name)| Origin::Environment((*name).to_owned()))
}
