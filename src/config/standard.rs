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

/// Standard variables that this program does not have, although it has others like them. They are warned about.
const WITHOUT_EFFECT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];

/// Whether this is one of them.
pub(super) fn is_standard(name: &str) -> bool {
    let of_flags = STANDARD_OF_FLAGS.iter().map(|(_, standard)| *standard);
    of_flags.chain(STANDARD).chain(WITHOUT_EFFECT).any(|standard| standard == name)
}

/// A warning for every one of these variables that has no effect.
pub(super) fn without_effect<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let set = names.filter(|name| WITHOUT_EFFECT.contains(name));
    set.map(|name| {
        format!("{name} has no effect, because all signals have one endpoint. Set {ENDPOINT} or --otlp-endpoint")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_one_signal_is_warned_about() {
        let set = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OUTCROP_LOG"];
        let told: Vec<_> = without_effect(set.into_iter()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT has no effect"), "{told:?}");
        assert!(set.into_iter().filter(|name| is_standard(name)).count() == 2);
    }
}
