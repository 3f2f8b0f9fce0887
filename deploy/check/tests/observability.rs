//! The dashboard and the alerts use metrics that exist, and the compose file mounts files that exist.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    yaml_serde::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of metrics in a text: words that begin with `extractd_`.
fn metrics(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("extractd_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn dashboard_and_alerts_use_metrics_that_are_described() {
    let described = metrics(&read("docs/operations.md"));
    let dashboard: Value =
        serde_json::from_str(&read("deploy/observe/grafana/extractd.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for path in [
        "deploy/observe/grafana/extractd.json",
        "deploy/observe/alerts.yml",
    ] {
        let used = metrics(&read(path));
        assert!(used.len() > 4, "{used:?}");
        let unknown: Vec<_> = used.difference(&described).collect();
        assert!(unknown.is_empty(), "{path} uses {unknown:?}");
    }
}

#[test]
fn every_alert_says_what_happened() {
    let alerts = yaml("deploy/observe/alerts.yml");
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 8);
    for rule in rules {
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        assert!(summary.len() > 15 && rule["expr"].is_string(), "{rule}");
        assert!(rule["labels"]["severity"].is_string(), "{rule}");
    }
}

#[test]
fn the_compose_file_mounts_files_that_exist() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    let mut observed: Vec<_> = services
        .iter()
        .filter(|(_, service)| service["profiles"][0] == "observe")
        .map(|(name, _)| name.as_str())
        .collect();
    observed.sort_unstable();
    assert_eq!(observed, ["collector", "grafana", "jaeger", "prometheus"]);
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            if let Some(file) = source.strip_prefix("./") {
                assert!(project().join(file).is_file(), "{name} mounts {file}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: {source}");
            }
        }
    }
}

#[test]
fn traces_go_through_the_collector_to_a_source_of_grafana() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    let collector = yaml("deploy/observe/collector.yml");
    let pipeline = &collector["service"]["pipelines"]["traces"];
    for (list, section) in [
        ("receivers", "receivers"),
        ("processors", "processors"),
        ("exporters", "exporters"),
    ] {
        for name in pipeline[list].as_array().unwrap() {
            let name = name.as_str().unwrap();
            assert!(collector[section].get(name).is_some(), "{list}: {name}");
        }
    }
    let endpoint = &collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"];
    assert_eq!(endpoint, "0.0.0.0:4318");
    let exporter = collector["exporters"]["otlp/jaeger"]["endpoint"]
        .as_str()
        .unwrap();
    let sources = yaml("deploy/observe/grafana/datasources.yml");
    let jaeger = sources["datasources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|source| source["type"] == "jaeger")
        .expect("Grafana shows traces");
    let url = jaeger["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    for address in [exporter, url] {
        let host = address.split(':').next().unwrap();
        assert!(services.contains_key(host), "{address}");
    }
    let environment = &compose["services"]["extractd"]["environment"];
    assert!(environment.get("OTEL_EXPORTER_OTLP_ENDPOINT").is_some());
}

#[test]
fn prometheus_asks_by_a_name_that_the_server_answers() {
    let prometheus = yaml("deploy/observe/prometheus.yml");
    let target = &prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0];
    let host = target.as_str().unwrap().split(':').next().unwrap();
    let compose = yaml("docker-compose.yml");
    let environment = &compose["services"]["extractd"]["environment"];
    assert_eq!(environment["EXTRACTD_HOSTS"], host);
}
