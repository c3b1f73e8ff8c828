//! The standard variables of OpenTelemetry. The configuration file replaces them.

/// The standard variable of the endpoint.
pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The standard variables that stand for a flag, below the configuration file.
pub(super) const STANDARD_OF_FLAGS: [(&str, &str); 3] = [
    ("otlp-endpoint", ENDPOINT),
    ("otlp-ca", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    ("otlp-service-name", "OTEL_SERVICE_NAME"),
];

/// The standard variables that are read besides. The SDK reads further ones by itself.
pub(super) const STANDARD: [&str; 5] = [
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];

/// Whether this is one of them.
pub(super) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || STANDARD_OF_FLAGS.iter().any(|(_, standard)| *standard == name)
}
