//! Message for a path without a route: the path that was probably meant.

use crate::types::nearest;

/// Paths that people try, and the route that does what they expect.
const ALIASES: [(&str, &str); 16] = [
    ("/batch", "/v1/extract/batch"),
    ("/extract_batch", "/v1/extract/batch"),
    ("/extractions", "/v1/extract"),
    ("/health", "/healthz"),
    ("/health/live", "/healthz"),
    ("/livez", "/healthz"),
    ("/ping", "/healthz"),
    ("/status", "/healthz"),
    ("/ready", "/readyz"),
    ("/health/ready", "/readyz"),
    ("/swagger", "/docs"),
    ("/swagger-ui", "/docs"),
    ("/redoc", "/docs"),
    ("/openapi.yaml", "/openapi.json"),
    ("/openapi", "/openapi.json"),
    ("/swagger.json", "/openapi.json"),
];
/// Routes that are suggested, parameters in braces, with their methods. A test compares them with those of the API document.
const ROUTES: [(&str, &str); 22] = [
    ("/v1/extract", "POST"),
    ("/v1/extract/batch", "POST"),
    ("/v1/jobs", "GET or POST"),
    ("/v1/jobs/{id}", "GET or DELETE"),
    ("/v1/jobs/{id}/results", "GET"),
    ("/v1/jobs/{id}/events", "GET"),
    ("/v1/jobs/{id}/cancel", "POST"),
    ("/v1/jobs/{id}/retry", "POST"),
    ("/v1/schemas", "GET"),
    ("/v1/schemas/{name}", "GET, PUT or DELETE"),
    ("/v1/schemas/{name}/versions", "GET"),
    ("/v1/chat/completions", "POST"),
    ("/v1/responses", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{model}", "GET"),
    ("/v1/limits", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
    ("/version", "GET"),
    ("/docs", "GET"),
    ("/openapi.json", "GET"),
];
/// Maximum length of a path that is compared with the routes, in bytes.
const MAX_BYTES: usize = 200;

/// Returns the detail of the error for a method that a route does not have. `route` is its path, parameters in braces.
#[must_use]
pub fn wrong_method(method: &str, route: Option<&str>) -> String {
    let known = ROUTES.iter().find(|(known, _)| Some(*known) == route);
    let methods = known.map_or("GET", |(_, methods)| methods);
    format!("{method} is not supported for this path; use {methods}")
}

/// Returns the detail of the error for a path without a route.
#[must_use]
pub fn detail(path: &str) -> String {
    let found = (path.len() <= MAX_BYTES).then(|| meant(path)).flatten();
    match found {
        Some(route) => {
            format!("no route for this path; did you mean {route}? /docs lists all routes")
        }
        None => "no route for this path; see /docs for all routes".to_owned(),
    }
}

/// Returns the route that was probably meant, with the path's own values for its parameters.
fn meant(path: &str) -> Option<String> {
    let segments: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let without_version = |segments: &[&str]| -> Vec<String> {
        let skipped = segments.iter().take_while(|part| is_prefix(part)).count();
        segments
            .iter()
            .skip(skipped)
            .map(|part| (*part).to_owned())
            .collect()
    };
    let rest = without_version(&segments);
    let joined = format!("/{}", rest.join("/")).to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == joined);
    if let Some((_, route)) = alias {
        return Some((*route).to_owned());
    }
    let fits = ROUTES.iter().filter_map(|(route, _)| {
        let parts: Vec<_> = route.split('/').filter(|part| !part.is_empty()).collect();
        let parts = without_version(&parts);
        let (edits, filled) = compare(&rest, &parts)?;
        let version = route.strip_prefix("/v1/").map_or("", |_| "/v1");
        Some((edits, format!("{version}/{}", filled.join("/"))))
    });
    fits.min().map(|(_, route)| route)
}

/// Returns true for a segment before the path proper: a version, or `api`.
fn is_prefix(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    lower == "api"
        || lower.strip_prefix('v').is_some_and(|version| {
            !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
        })
}

/// Compares a path with a route. Returns the number of segments that are spelt differently, and the route with the path's values.
fn compare(path: &[String], route: &[String]) -> Option<(usize, Vec<String>)> {
    if path.is_empty() || path.len() != route.len() {
        return None;
    }
    let mut edits = 0;
    let mut filled = Vec::new();
    for (own, part) in path.iter().zip(route) {
        if part.starts_with('{') {
            filled.push(own.clone());
            continue;
        }
        if !part.eq_ignore_ascii_case(own) {
            nearest(&own.to_ascii_lowercase(), [part.as_str()])?;
            edits += 1;
        }
        filled.push(part.clone());
    }
    Some((edits, filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_route_is_known() {
        let document = super::super::document();
        let mut documented: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, operations)| {
                let methods = ["get", "post", "put", "delete"].map(str::to_owned);
                let methods: Vec<_> = methods
                    .into_iter()
                    .filter(|method| operations.get(method).is_some())
                    .map(|method| method.to_uppercase())
                    .collect();
                (path.as_str(), methods)
            })
            .collect();
        documented.sort();
        let known = ROUTES.iter().map(|(route, methods)| {
            let methods = methods
                .split([',', ' '])
                .filter(|word| !matches!(*word, "" | "or"));
            (*route, methods.map(str::to_owned).collect::<Vec<_>>())
        });
        let mut known: Vec<_> = known.collect();
        known.retain(|(route, _)| !matches!(*route, "/docs" | "/openapi.json"));
        known.sort();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_path_that_was_meant_is_suggested() {
        for (path, expected) in [
            ("/v1/extract/", "/v1/extract"),
            ("/extract", "/v1/extract"),
            ("/v1/batch", "/v1/extract/batch"),
            ("/batch/", "/v1/extract/batch"),
            ("/v1/extracts", "/v1/extract"),
            ("/v1/extract/batches", "/v1/extract/batch"),
            ("/V1/Extract", "/v1/extract"),
            ("/api/v1/extract", "/v1/extract"),
            ("/v2/extract", "/v1/extract"),
            ("/v1//extract", "/v1/extract"),
            ("/v1/v1/extract", "/v1/extract"),
            ("/v1/job", "/v1/jobs"),
            ("/jobs/job_1/result", "/v1/jobs/job_1/results"),
            ("/v1/jobs/job_1/cancle", "/v1/jobs/job_1/cancel"),
            ("/schema/person", "/v1/schemas/person"),
            ("/v1/healthz", "/healthz"),
            ("/health", "/healthz"),
            ("/metric", "/metrics"),
            ("/swagger", "/docs"),
            ("/openapi.yaml", "/openapi.json"),
        ] {
            assert_eq!(meant(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["/", "/foo", "/v1", "/v1/x/y/z", "/favicon.ico"] {
            assert_eq!(meant(path), None, "{path}");
        }
    }
}
