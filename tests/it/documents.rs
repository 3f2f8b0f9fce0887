//! The documents agree with the code: every configuration key, variable, metric and error code is described, links lead
//! somewhere, and the README stays short.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Files below `folder` with one of these endings, except what builds leave behind.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_ours = !["target", ".git", "node_modules", "models", "data"].contains(&&*name);
            if is_ours {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// Returns the string literals that follow `prefix` in a text.
fn literals_after<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    text.split(prefix)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

#[test]
fn every_configuration_key_and_variable_is_described() {
    let page = read("docs/configuration.md");
    let mut sources = Vec::new();
    files(&root().join("src/config"), &[".rs"], &mut sources);
    sources.push(root().join("src/config.rs"));
    let mut keys = BTreeSet::new();
    for path in sources
        .iter()
        .filter(|path| !path.to_string_lossy().contains("tests"))
    {
        let text = std::fs::read_to_string(path).unwrap();
        for call in [".get(", ".find(", ".child(", ".children(", ".take("] {
            keys.extend(literals_after(&text, call).into_iter().map(str::to_owned));
        }
        for name in text.split('"').filter(|name| name.starts_with("EXTRACTD_")) {
            keys.insert(name.to_owned());
        }
    }
    keys.retain(|key| {
        // Kubernetes sets EXTRACTD_PORT; it is not ours.
        !["EXTRACTD_", "EXTRACTD_PORT"].contains(&key.as_str())
            && !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    assert!(
        keys.len() > 50,
        "only {} keys were found: {keys:?}",
        keys.len()
    );
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| !page.contains(&format!("`{key}`")) && !page.contains(&format!("[{key}")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md lacks {missing:?}"
    );
}

#[test]
fn every_metric_is_described() {
    let page = read("docs/operations.md");
    let code = read("src/telemetry/metric_names.rs");
    let metrics: Vec<_> = code
        .split('"')
        .filter(|name| name.starts_with("extractd_"))
        .collect();
    assert!(
        metrics.len() > 20,
        "only {} metrics were found",
        metrics.len()
    );
    let missing: Vec<_> = metrics
        .iter()
        .filter(|name| {
            !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{name}{{"))
        })
        .collect();
    assert!(missing.is_empty(), "docs/operations.md lacks {missing:?}");
}

#[test]
fn every_error_code_is_described() {
    let page = read("docs/api.md");
    let document = read("openapi/openapi.json");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let codes = document["components"]["schemas"]["Code"]["enum"]
        .as_array()
        .unwrap();
    assert!(codes.len() > 15);
    for code in codes {
        let code = code.as_str().unwrap();
        assert!(
            page.contains(&format!("`{code}`")),
            "docs/api.md lacks {code}"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages = Vec::new();
    files(root(), &[".md"], &mut pages);
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") || path.starts_with('/') {
                continue;
            }
            links += 1;
            let file = page.parent().unwrap().join(path);
            assert!(file.exists(), "{}: {target} leads nowhere", page.display());
            if let Some((_, anchor)) = target.split_once('#') {
                let text = std::fs::read_to_string(&file).unwrap();
                let anchors: Vec<_> = text
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor_of(line.trim_start_matches('#')))
                    .collect();
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{}: no heading for {target}",
                    page.display()
                );
            }
        }
    }
    assert!(links > 40, "only {links} links were found");
}

/// Returns the anchor that a Markdown heading gets.
fn anchor_of(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_')
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn scripts_name_files_that_exist() {
    let mut scripts = vec![root().join("Makefile"), root().join(".ci/run")];
    files(&root().join("scripts"), &[".sh"], &mut scripts);
    let mut found = 0;
    for script in scripts {
        let text = std::fs::read_to_string(&script).unwrap();
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-$".contains(c);
        for path in text.split(|c: char| !is_of_path(c)) {
            let is_file = [".py", ".sh", ".mjs", ".toml"]
                .iter()
                .any(|ending| path.ends_with(ending));
            // A variable's folder is built, and `target` too.
            if !is_file || !path.contains('/') || path.contains('$') || path.starts_with("target") {
                continue;
            }
            let folder = script.parent().unwrap();
            let is_there = [root(), &root().join("ui"), folder]
                .iter()
                .any(|folder| folder.join(path).exists());
            assert!(is_there, "{}: {path} is missing", script.display());
            found += 1;
        }
    }
    assert!(found > 20, "only {found} files were found");
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").len() <= 10 * 1024);
}
