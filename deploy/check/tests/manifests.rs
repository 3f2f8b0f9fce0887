//! Every manifest is an object of the Kubernetes API, without a field that the API does not know, and they fit each other.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes")
}

/// Reads a manifest.
fn manifest(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Checks that a manifest is an object of this type, and that the type has every field of it.
fn check<T: Serialize + DeserializeOwned>(name: &str) {
    let manifest = manifest(name);
    let object: T =
        serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut known = serde_json::to_value(object).unwrap();
    if known["kind"] == "Secret" {
        // Written as base64 `data`, or as it is.
        known["stringData"] = manifest["stringData"].clone();
    }
    assert_eq!(known, manifest, "{name} has a field that the API lacks");
}

#[test]
fn every_manifest_is_an_object_of_the_kubernetes_api() {
    let mut kinds = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name)
            .extension()
            .is_none_or(|kind| kind != "yaml")
        {
            continue;
        }
        let kind = manifest(&name)["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "Namespace" => check::<Namespace>(&name),
            "NetworkPolicy" => check::<NetworkPolicy>(&name),
            "PodDisruptionBudget" => check::<PodDisruptionBudget>(&name),
            "Secret" => check::<Secret>(&name),
            "Service" => check::<Service>(&name),
            "ServiceAccount" => check::<ServiceAccount>(&name),
            "StatefulSet" => check::<StatefulSet>(&name),
            // Of kustomize, whose types are not part of the API.
            "Kustomization" => {}
            other => panic!("{name}: no type is known for {other}"),
        }
        kinds.push(kind);
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn the_kustomization_names_every_manifest_but_the_example() {
    let named = manifest("kustomization.yaml");
    let mut named: Vec<_> = named["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    named.extend([
        "kustomization.yaml".to_owned(),
        "secret.example.yaml".to_owned(),
    ]);
    named.sort();
    let mut found: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "yaml")
        })
        .collect();
    found.sort();
    assert_eq!(named, found);
}

#[test]
fn the_selectors_probes_and_volumes_fit_each_other() {
    let set = manifest("statefulset.yaml");
    let pod = &set["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    for selector in [
        &set["spec"]["selector"]["matchLabels"],
        &manifest("service.yaml")["spec"]["selector"],
        &manifest("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        &manifest("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    let container = &pod["spec"]["containers"][0];
    let port = &container["ports"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], port["name"], "{probe}");
    }
    assert_eq!(
        manifest("service.yaml")["spec"]["ports"][0]["targetPort"],
        port["name"]
    );
    let volumes: Vec<_> = pod["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["name"])
        .chain([&set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]])
        .collect();
    for mount in container["volumeMounts"].as_array().unwrap() {
        assert!(volumes.contains(&&mount["name"]), "{mount}");
    }
    let secret = manifest("secret.example.yaml");
    assert_eq!(
        container["envFrom"][0]["secretRef"]["name"],
        secret["metadata"]["name"]
    );
    let stops = pod["spec"]["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap();
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap();
    assert!(
        stops >= 30 + pause + 10,
        "the grace of 30 s, and some time to close"
    );
}
