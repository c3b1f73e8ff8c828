//! Tests of the flags about OTLP, and of the standard variables beside them.

use std::{
    fs::{self, Permissions},
    time::Duration,
};

use super::{
    layering::{TestFile, problems, resolve},
    *,
};

fn otlp(text: &str, flags: &[&str], variables: &[(&str, &str)]) -> Option<OtlpSettings> {
    let file = TestFile::new(&format!("otlp-{}", fastrand::u64(..)), text);
    resolve(&file, &[&["--local"], flags].concat(), variables).unwrap().otlp
}

#[test]
fn nothing_is_sent_without_an_endpoint() {
    assert!(otlp("", &[], &[("OTEL_SERVICE_NAME", "checkout"), ("OTEL_TRACES_SAMPLER", "always_on")]).is_none());
    let sent = otlp("", &["--otlp-endpoint", "http://a:4317"], &[]).unwrap();
    assert_eq!((sent.endpoint.as_str(), sent.service_name.as_str()), ("http://a:4317", "outcrop"));
    assert!(sent.traces && sent.metrics && sent.sample_ratio.is_none() && sent.timeout == OtlpSettings::TIMEOUT);
}

#[test]
fn a_standard_variable_counts_below_the_file() {
    let standard = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4317"), ("OTEL_SERVICE_NAME", "checkout")];
    let sent = otlp("", &[], &standard).unwrap();
    assert_eq!((sent.endpoint.as_str(), sent.service_name.as_str()), ("http://standard:4317", "checkout"));
    let in_file = "otlp_endpoint = \"http://file:4317\"\notlp_service_name = \"from-file\"\n";
    let sent = otlp(in_file, &[], &standard).unwrap();
    assert_eq!((sent.endpoint.as_str(), sent.service_name.as_str()), ("http://file:4317", "from-file"));
    let own = [standard[0], standard[1], ("OUTCROP_OTLP_ENDPOINT", "http://own:4317")];
    assert_eq!(otlp(in_file, &[], &own).unwrap().endpoint, "http://own:4317");
    assert_eq!(otlp(in_file, &["--otlp-endpoint", "http://flag:4317"], &own).unwrap().endpoint, "http://flag:4317");
    assert!(otlp("otlp_endpoint = \"\"", &[], &standard).is_none(), "the file can turn it off");
}

#[test]
fn standard_variables_turn_signals_off_and_set_the_timeout() {
    let flags = ["--otlp-endpoint", "http://a:4317"];
    let sent = |variables: &[(&str, &str)]| {
        otlp("", &flags, variables).map(|sent| (sent.traces, sent.metrics, sent.timeout.as_millis()))
    };
    assert_eq!(sent(&[("OTEL_SDK_DISABLED", "TRUE")]), None);
    assert_eq!(sent(&[("OTEL_SDK_DISABLED", "false")]), Some((true, true, 10_000)));
    assert_eq!(sent(&[("OTEL_TRACES_EXPORTER", "none")]), Some((false, true, 10_000)));
    assert_eq!(sent(&[("OTEL_METRICS_EXPORTER", "none")]), Some((true, false, 10_000)));
    assert_eq!(sent(&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")]), None);
    assert_eq!(sent(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "1500")]), Some((true, true, 1500)));
    assert_eq!(sent(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")]), Some((true, true, 60_000)), "bounded");
    // The endpoint is ours, so the protocol of the environment is not meant for it.
    assert_eq!(sent(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]), Some((true, true, 10_000)));
    let traces = otlp("", &[&flags[..], &["--otlp-signals", "traces"]].concat(), &[]).unwrap();
    assert!(traces.traces && !traces.metrics);
}

#[test]
fn everything_wrong_about_otlp_is_reported_at_once() {
    let flags = [
        ["--local", "--otlp-endpoint=http://me:swordfish@a:4317"],
        ["--otlp-ca", "/nowhere"],
        ["--otlp-signals", "logs"],
        ["--trace-sample-ratio", "1.5"],
        ["--otlp-headers-file", "/none"],
    ];
    let variables = [("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")];
    let found = problems("otlp-wrong", "", &flags.concat(), &variables);
    for (problem, part) in found.iter().zip([
        "--otlp-signals is \"logs\"; it must be traces, metrics or traces,metrics",
        "--otlp-headers-file is \"/none\", which cannot be read",
        "--otlp-ca is \"/nowhere\", which cannot be read",
        "--trace-sample-ratio is \"1.5\"; it must be a number from 0 to 1",
        "--otlp-endpoint has a user or a password",
        "OTEL_EXPORTER_OTLP_TIMEOUT is \"10s\"; it must be a number of milliseconds",
    ]) {
        assert!(problem.contains(part), "{part} in {found:?}");
        assert!(!problem.contains("swordfish"), "{problem}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
    let by_http = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let found = problems("otlp-http", "", &["--local"], &by_http);
    assert!(found[0].contains("sends OTLP by grpc alone") && found.len() == 1, "{found:?}");
    let found = problems("otlp-none", "", &["--local", "--otlp-headers-file", "/none"], &[]);
    assert!(found.iter().any(|problem| problem.contains("--otlp-endpoint names none")), "{found:?}");
    // A machine can have the variable for other programs.
    assert!(
        otlp("", &[], &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "Cargo.toml"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "1")])
            .is_none()
    );
}

#[test]
fn headers_come_from_a_private_file_and_are_in_no_output() {
    let headers =
        TestFile::new("otlp-headers", "# for the collector\nAuthorization: Bearer swordfish\n\nx-tenant: acme\n");
    let allow = |mode| fs::set_permissions(headers.path(), Permissions::from_mode(mode)).unwrap();
    let flags = ["--otlp-endpoint", "https://a:4317", "--otlp-headers-file", headers.path()];
    allow(0o644);
    let found = problems("otlp-open", "", &[&["--local"], &flags[..]].concat(), &[]);
    assert!(found[0].contains("chmod 600") && !found[0].contains("swordfish"), "{found:?}");
    allow(0o600);
    let sent = otlp("", &flags, &[]).unwrap();
    assert_eq!(sent.headers.len(), 2);
    let shown = format!("{sent:?}");
    assert!(shown.contains("authorization") && !shown.contains("swordfish"), "{shown}");
    fs::write(headers.path(), "\nBearer swordfish\n").unwrap();
    let found = problems("otlp-line", "", &[&["--local"], &flags[..]].concat(), &[]);
    assert!(found[0].contains("whose line 2 is not NAME: VALUE") && !found[0].contains("swordfish"), "{found:?}");
    assert_eq!(sent.timeout, Duration::from_secs(10));
    // A running server has read it, and does not read it again.
    let arguments = [&["outcrop", "serve", "--local"], &flags[..3], &["/nowhere"]].concat();
    let (cli, layers) = Inputs::new(arguments, []).load().unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    args.resolve(&Layers { of_running_server: true, ..layers }).unwrap();
}
