//! The API document, its examples, and the reference page that shows it.

use serde_json::Value;

use super::running;

#[tokio::test]
async fn the_openapi_document_is_3_1_and_names_every_path() {
    let (_upstream, server) = running().await;
    let document = server.get("/openapi.json").await;
    assert!(
        document
            .header("content-type")
            .starts_with("application/json"),
        "{:?}",
        document.headers
    );
    let document = document.ok();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let operations = [
        ("/v1/extract", "post"),
        ("/v1/extract/batch", "post"),
        ("/v1/schemas", "get"),
        ("/v1/schemas/{name}", "get"),
        ("/v1/schemas/{name}", "put"),
        ("/v1/schemas/{name}", "delete"),
        ("/v1/chat/completions", "post"),
        ("/v1/responses", "post"),
        ("/v1/models", "get"),
        ("/v1/models/{model}", "get"),
        ("/v1/limits", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/version", "get"),
    ];
    for (path, method) in operations {
        let operation = &document["paths"][path][method];
        assert!(
            operation["responses"].is_object(),
            "{method} {path}: {operation}"
        );
    }
    check_references(&document, &document);
}

/// Fails the test when a local reference of the document leads nowhere.
fn check_references(document: &Value, part: &Value) {
    if let Some(target) = part.get("$ref").and_then(Value::as_str) {
        let pointer = target
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{target} leads outside"));
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    match part {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "example" && *name != "examples")
            .for_each(|(_, field)| check_references(document, field)),
        Value::Array(elements) => elements
            .iter()
            .for_each(|element| check_references(document, element)),
        _ => {}
    }
}

/// Returns every request body that the document shows as an example.
fn examples(document: &Value, path: &str) -> Vec<Value> {
    let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
    let many = content["examples"]
        .as_object()
        .into_iter()
        .flat_map(|examples| examples.values().map(|example| example["value"].clone()));
    many.chain(content.get("example").cloned()).collect()
}

#[tokio::test]
async fn each_example_of_the_openapi_document_is_answered() {
    let (_upstream, server) = running().await;
    let document = server.get("/openapi.json").await.ok();
    for path in [
        "/v1/extract",
        "/v1/extract/batch",
        "/v1/chat/completions",
        "/v1/responses",
    ] {
        let examples = examples(&document, path);
        assert!(!examples.is_empty(), "{path} has an example");
        for example in examples {
            let answer = server.post(path, &example).await;
            assert_eq!(answer.status, 200, "{path} {example}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn the_reference_works_offline() {
    let (_upstream, server) = running().await;
    let mut page = server.get("/docs").await;
    let mut path = "/docs".to_owned();
    if page.status.is_redirection() {
        path = page.header("location").to_owned();
        page = server.get(&path).await;
    }
    assert_eq!(page.status, 200, "{path}");
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{:?}",
        page.headers
    );
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let resources = resources(page.text());
    for resource in &resources {
        assert!(
            !resource.starts_with("//") && !resource.contains("://"),
            "{resource} is elsewhere"
        );
        let target = if resource.starts_with('/') {
            resource.clone()
        } else {
            format!("{folder}/{}", resource.trim_start_matches("./"))
        };
        assert_eq!(server.get(&target).await.status, 200, "{target}");
    }
    assert!(
        !resources.is_empty() || page.text().contains("/v1/extract"),
        "the page shows something: {}",
        page.text()
    );
}

/// Returns the resources that a page loads: `src` of anything, `href` of `link`.
fn resources(page: &str) -> Vec<String> {
    let tags = page.split('<').filter(|tag| !tag.starts_with("a "));
    let attributes = tags.flat_map(|tag| {
        ["src=\"", "href=\""]
            .into_iter()
            .filter_map(move |name| tag.split_once(name))
    });
    let targets = attributes
        .filter_map(|(_, after)| after.split_once('"'))
        .map(|(target, _)| target.to_owned());
    targets
        .filter(|target| !target.starts_with("data:") && !target.starts_with('#'))
        .collect()
}
