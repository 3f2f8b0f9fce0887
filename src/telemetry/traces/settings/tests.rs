use std::collections::BTreeMap;

use super::*;

fn variables_of(variables: &[(&str, &str)]) -> TraceVariables {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    TraceVariables::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// Reads variables that need no warning, and returns the settings.
fn settings(variables: &[(&str, &str)]) -> TraceSettings {
    let read = variables_of(variables);
    assert_eq!(read.warnings, [""; 0], "{variables:?}");
    read.settings.expect("traces are on")
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

#[test]
fn traces_are_off_unless_a_collector_is_named() {
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let read = variables_of(variables);
        assert!(read.settings.is_none(), "{variables:?}");
        assert_eq!(read.warnings, [""; 0], "{variables:?}");
    }
}

#[test]
fn the_endpoint_for_traces_is_used_as_it_is() {
    let url = |variables: &[_]| settings(variables).endpoint;
    assert_eq!(url(&[ENDPOINT]), "http://collector:4318/v1/traces");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t:1/x");
    assert_eq!(url(&[ENDPOINT, traces]), "https://t:1/x");
    let exporter = ("OTEL_TRACES_EXPORTER", "otlp");
    assert_eq!(url(&[exporter]), "http://localhost:4318/v1/traces");
}

#[test]
fn the_variables_for_traces_override_the_general_ones() {
    let settings = settings(&[
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b%20c, authorization=Bearer x",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]);
    assert_eq!(settings.timeout, Duration::from_secs(2));
    assert!(settings.is_compressed);
    // A batch is not larger than the queue.
    assert_eq!((settings.queue, settings.batch), (100, 100));
    assert_eq!(settings.delay, Duration::from_millis(50));
}

#[test]
fn the_service_has_a_name() {
    let attribute = |variables: &[_], key: &str| {
        let resource = settings(variables).resource;
        let found = resource.into_iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    };
    assert_eq!(attribute(&[ENDPOINT], "service.name").unwrap(), "extractd");
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=a, deployment.environment.name=pr%C3%BCf,",
    );
    let given = [ENDPOINT, attributes];
    assert_eq!(attribute(&given, "service.name").unwrap(), "a");
    assert_eq!(
        attribute(&given, "deployment.environment.name").unwrap(),
        "prüf"
    );
    let name = ("OTEL_SERVICE_NAME", "b");
    assert_eq!(
        attribute(&[ENDPOINT, attributes, name], "service.name").unwrap(),
        "b"
    );
}

#[test]
fn a_sampler_is_chosen_by_its_name() {
    let sampler = |name, argument| {
        let names = ("OTEL_TRACES_SAMPLER", name);
        let settings = settings(&[ENDPOINT, names, ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        format!("{:?}", settings.sampler)
    };
    assert_eq!(sampler("always_on", ""), "AlwaysOn");
    assert_eq!(sampler("always_off", ""), "AlwaysOff");
    assert_eq!(sampler("traceidratio", "0.25"), "TraceIdRatioBased(0.25)");
    assert_eq!(
        sampler("parentbased_traceidratio", "0"),
        "ParentBased(TraceIdRatioBased(0.0))"
    );
    assert_eq!(
        sampler("parentbased_always_off", "0"),
        "ParentBased(AlwaysOff)"
    );
    assert_eq!(
        format!("{:?}", settings(&[ENDPOINT]).sampler),
        "ParentBased(AlwaysOn)"
    );
}

#[test]
fn texts_are_captured_only_if_they_are_asked_for() {
    let captures = |value| {
        let name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
        settings(&[ENDPOINT, (name, value)]).captures_content
    };
    assert!(!settings(&[ENDPOINT]).captures_content);
    for value in ["true", "True", "SPAN_ONLY", "span_and_event"] {
        assert!(captures(value), "{value}");
    }
    for value in ["false", "NO_CONTENT", "event_only"] {
        assert!(!captures(value), "{value}");
    }
}

#[test]
fn an_invalid_value_is_named_and_counts_as_unset() {
    for (name, value, part) in [
        ("OTEL_SDK_DISABLED", "1", "true or false; false is used"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "10000 ms are used"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "5000 ms are used"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "2048 is used"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999", "1,000,000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "512 is used"),
        (
            "OTEL_TRACES_SAMPLER",
            "xray",
            "parentbased_always_on is used",
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", "x", "key=value"),
        (
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
            "yes",
            "spans have no texts",
        ),
    ] {
        let read = variables_of(&[ENDPOINT, (name, value)]);
        let [warning] = &read.warnings[..] else {
            panic!("{name}: {:?}", read.warnings);
        };
        assert!(warning.contains(name), "{warning}");
        assert!(warning.contains(&format!("{value:?}")), "{warning}");
        assert!(warning.contains(part), "{warning}");
        assert!(read.settings.is_some(), "{name}");
    }
    let ratio = variables_of(&[
        ENDPOINT,
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "10%"),
    ]);
    assert!(ratio.warnings[0].contains("a number from 0 to 1; 1 is used"));
}

#[test]
fn without_a_usable_collector_there_are_no_traces() {
    for (variable, part) in [
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "http/protobuf"),
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), "4318"),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            "URL of a collector",
        ),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "unix:///socket"),
            "URL of a collector",
        ),
        (("OTEL_TRACES_EXPORTER", "zipkin"), "otlp or none"),
    ] {
        let read = variables_of(&[ENDPOINT, variable]);
        assert!(read.settings.is_none(), "{variable:?}");
        assert_eq!(read.warnings.len(), 1, "{variable:?}");
        assert!(read.warnings[0].contains(part), "{:?}", read.warnings);
        assert!(read.warnings[0].contains("no traces are exported"));
    }
}

#[test]
fn a_warning_shows_no_secret() {
    let read = variables_of(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http//user:secret@x"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
    ]);
    assert_eq!(read.warnings.len(), 1);
    assert!(!read.warnings[0].contains("secret"), "{:?}", read.warnings);
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret,é=secret");
    let warnings = TraceVariables::from_variables(|name| {
        let variables = [ENDPOINT, headers];
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
    .warnings;
    assert!(
        warnings[0].ends_with("not sent: entry 2, 3"),
        "{warnings:?}"
    );
    assert!(!warnings[0].contains("secret"), "{warnings:?}");
}

#[test]
fn a_client_certificate_needs_its_key() {
    let certificate = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "cert.pem");
    let key = ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "key.pem");
    let settings = settings(&[ENDPOINT, certificate, key]);
    assert_eq!(
        settings.identity,
        Some(("cert.pem".into(), "key.pem".into()))
    );
    let read = variables_of(&[ENDPOINT, certificate]);
    assert_eq!(read.warnings.len(), 1);
    assert!(read.settings.unwrap().identity.is_none());
}
