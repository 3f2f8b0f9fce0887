//! The layers hold: a module uses only what stands below it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layer of each module; the same table stands in `lib.rs`. A new module has to be given its layer.
const LAYERS: [(&str, u8); 13] = [
    ("main", 8),
    ("cli", 7),
    ("app", 6),
    ("http", 5),
    ("jobs", 4),
    ("extraction", 3),
    ("schema", 2),
    ("limits", 2),
    ("provider", 2),
    ("config", 1),
    ("net", 1),
    ("telemetry", 1),
    ("types", 0),
];

/// A library and the one layer that may know it.
const OWNERS: [(&str, &[&str]); 11] = [
    ("axum", &["http"]),
    ("StatusCode", &["http", "net", "provider"]),
    ("reqwest", &["net"]),
    ("governor", &["limits"]),
    ("jsonschema", &["schema"]),
    ("moka", &["extraction"]),
    ("regex", &["schema"]),
    ("rusqlite", &["jobs"]),
    ("llama_cpp_2", &["provider"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with its module and its text without comments.
fn files() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let first = path
                .strip_prefix(&root)
                .unwrap()
                .iter()
                .next()
                .unwrap()
                .to_str()
                .unwrap();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<_> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            (path, module, code.join("\n"))
        })
        .filter(|(_, module, _)| module != "lib")
        .collect()
}

/// The top-level modules that a file names after `crate::`, in braces too.
fn uses(code: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut modules = Vec::new();
    for (at, prefix) in code
        .match_indices("crate::")
        .chain(code.match_indices("extractd::"))
    {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(many) => modules.extend(many.split_once('}').unwrap().0.split(',').map(name)),
            None => modules.push(name(rest)),
        }
    }
    modules.retain(|module| !module.is_empty());
    modules
}

#[test]
fn every_edge_points_downward() {
    let layers: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let mut edges = 0;
    for (path, module, code) in files() {
        let layer = layers
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no layer: give it one in {}", file!()));
        for used in uses(&code) {
            let below = layers
                .get(used.as_str())
                .unwrap_or_else(|| panic!("{}: crate::{used} is no module", path.display()));
            assert!(
                used == module || below < layer,
                "{} may not use crate::{used}",
                path.display()
            );
            edges += 1;
        }
    }
    assert!(
        edges > 50,
        "only {edges} edges were found: is this test still reading the sources?"
    );
}

#[test]
fn each_library_is_known_by_its_layer_alone() {
    for (path, module, code) in files() {
        for (library, owners) in OWNERS {
            let named =
                code.contains(&format!("{library}::")) || code.contains(&format!("use {library}"));
            assert!(
                !named || owners.contains(&module.as_str()),
                "{} may not know {library}",
                path.display()
            );
        }
    }
}

#[test]
fn no_file_and_no_layer_table_is_left_behind() {
    let map =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (module, layer) in LAYERS.into_iter().filter(|(module, _)| *module != "main") {
        assert!(
            map.contains(&format!("| {layer} | [`{module}`] |")),
            "lib.rs says that {module} is layer {layer}"
        );
    }
}
