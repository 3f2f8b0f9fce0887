//! The layers hold: a module uses only modules of lower layers, no two files import each other, and a library is known only where
//! it belongs. `docs/architecture.md` has the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Layer of each module of the service. The same table stands in `src/lib.rs`. A new module has to be given its layer.
const LAYERS: [(&str, u8); 18] = [
    ("main", 8),
    ("cli", 7),
    ("app", 6),
    ("http", 5),
    ("jobs", 4),
    ("extraction", 3),
    ("schema", 2),
    ("provider", 2),
    ("config", 1),
    ("contract", 1),
    ("mcp", 1),
    ("net", 1),
    ("telemetry", 1),
    ("long_work", 0),
    ("private_files", 0),
    ("turn", 0),
    ("types", 0),
    ("workers", 0),
];

/// Libraries, and the modules that may use them.
const OWNERS: [(&str, &[&str]); 13] = [
    ("axum", &["http"]),
    ("StatusCode", &["http", "mcp", "net", "provider"]),
    ("reqwest", &["net"]),
    ("rmcp", &["mcp"]),
    ("governor", &[]),
    ("hashlink", &["extraction"]),
    ("jsonschema", &["schema"]),
    ("opentelemetry", &["telemetry"]),
    ("regex", &["provider", "schema"]),
    ("rusqlite", &["jobs"]),
    ("llama_cpp_2", &["provider"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
];

/// Keywords that only JSON Schemas have.
const SCHEMA_KEYWORDS: [&str; 15] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "prefixItems",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "minItems",
    "multipleOf",
    "$ref",
    "$defs",
];

/// The only module that looks the keywords up in JSON: it edits the description of our own API, which no caller sends.
const READERS: [&str; 1] = ["http/openapi"];

/// Modules in which a keyword's name is another word, or is looked for in something other than a request's schema.
const OTHER_MEANINGS: [(&str, &str); 5] = [
    ("bounded-cel/parse", "reserved words of rules"),
    (
        "upstream-sim/instance",
        "a provider in tests, which gets JSON",
    ),
    ("http/chat/schema_choice", "`tool_choice` of a chat request"),
    (
        "provider/unsupported_feature",
        "words of providers' error messages",
    ),
    (
        "schema/coerce/wrapping",
        "an answer that repeats the schema around its values",
    ),
];

/// A source file: its module path (`["jobs", "store"]`; empty for the crate root) and its text without comments and tests.
struct Source {
    path: PathBuf,
    module: Vec<String>,
    code: String,
}

impl Source {
    /// Returns the name of its top-level module.
    fn top(&self) -> &str {
        &self.module[0]
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Reads the sources below `root`, a folder with a `lib.rs`, except test modules and the crate root.
fn sources(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(root).unwrap().with_extension("");
        let module: Vec<String> = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: Vec<_> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let code = code.join("\n");
        Source { path, module, code }
    };
    let mut sources: Vec<_> = paths.into_iter().map(read).collect();
    sources.retain(|source| source.top() != "lib" && !source.module.iter().any(|m| m == "tests"));
    sources
}

fn service() -> Vec<Source> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Returns every path in a source that begins with `crate`, `extractd`, `super` or `self`, as absolute module segments. Braces
/// are expanded, nested ones too.
fn paths(source: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let code = &source.code;
    for prefix in ["crate::", "extractd::", "super::", "self::"] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let mut base = match prefix {
                "super::" => source.module[..source.module.len() - 1].to_vec(),
                "self::" => source.module.clone(),
                _ => Vec::new(),
            };
            let mut rest = &code[at + prefix.len()..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            expand(&base, rest, &mut found);
        }
    }
    found
}

/// Adds the paths that the use tree at the beginning of `text` names. Returns the text behind the tree.
fn expand<'t>(base: &[String], text: &'t str, found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut inner) = text.strip_prefix('{') {
        loop {
            inner = inner.trim_start();
            if let Some(rest) = inner.strip_prefix('}') {
                return rest;
            }
            if let Some(rest) = inner.strip_prefix(',') {
                inner = rest;
                continue;
            }
            let rest = expand(base, inner, found);
            if rest.len() == inner.len() {
                return rest;
            }
            inner = rest;
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = base.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() => expand(&path, rest, found),
        _ => {
            found.push(path);
            let alias = rest.trim_start().strip_prefix("as ");
            alias.map_or(rest, |rest| {
                rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
            })
        }
    }
}

/// Edges among files: from the index of each source to those of the files that it names. A path belongs to its deepest module.
fn edges(sources: &[Source]) -> Vec<BTreeSet<usize>> {
    let index: BTreeMap<_, _> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| (source.module.clone(), at))
        .collect();
    let target = |path: &[String]| {
        (1..=path.len())
            .rev()
            .find_map(|length| index.get(&path[..length]).copied())
    };
    let edge = |(at, source): (usize, &Source)| {
        let mut named: BTreeSet<_> = paths(source)
            .iter()
            .filter_map(|path| target(path))
            .collect();
        // A root also names its children without a prefix: `pub use child::Type`.
        for (other, child) in sources.iter().enumerate() {
            let is_child = child.module.len() == source.module.len() + 1
                && child.module.starts_with(&source.module);
            let name = child.module.last().unwrap();
            if is_child && names(&source.code, name) {
                named.insert(other);
            }
        }
        named.remove(&at);
        named
    };
    sources.iter().enumerate().map(edge).collect()
}

/// Returns true if `code` has a path that begins with `name::`.
fn names(code: &str, name: &str) -> bool {
    let prefix = format!("{name}::");
    code.match_indices(&prefix).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

/// Groups of files that import each other, directly or through others.
fn cycles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reach = |start: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(at) = open.pop() {
            for next in &edges[at] {
                if seen.insert(*next) {
                    open.push(*next);
                }
            }
        }
        seen
    };
    let reachable: Vec<_> = (0..edges.len()).map(reach).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in (0..edges.len()).filter(|at| reachable[*at].contains(at)) {
        let group = groups
            .iter_mut()
            .find(|group| reachable[group[0]].contains(&at) && reachable[at].contains(&group[0]));
        match group {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

#[test]
fn every_import_points_to_a_lower_layer() {
    let layers: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let mut imports = 0;
    for source in service() {
        let top = source.top();
        let layer = layers
            .get(top)
            .unwrap_or_else(|| panic!("{top} has no layer: give it one in {}", file!()));
        for path in paths(&source) {
            let Some(used) = path.first() else { continue };
            let path = source.path.display();
            let below = layers
                .get(used.as_str())
                .unwrap_or_else(|| panic!("{path}: crate::{used} is no module"));
            assert!(
                used == top || below < layer,
                "{path} may not use crate::{used}"
            );
            imports += 1;
        }
    }
    assert!(
        imports > 50,
        "only {imports} imports were found: does this test still read the sources?"
    );
}

#[test]
fn no_files_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trees = vec![root.join("src")];
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        trees.push(entry.unwrap().path().join("src"));
    }
    let mut found = Vec::new();
    for tree in trees {
        let sources = sources(&tree);
        let name = |at: &usize| {
            let path = sources[*at].path.strip_prefix(root).unwrap();
            path.display().to_string()
        };
        let groups = cycles(&edges(&sources));
        found.extend(
            groups
                .iter()
                .map(|group| group.iter().map(name).collect::<Vec<_>>()),
        );
    }
    assert!(
        found.is_empty(),
        "these files import each other; move what they share to a file below them: {found:#?}"
    );
}

#[test]
fn each_library_is_used_only_by_its_owner() {
    for source in service() {
        for (library, owners) in OWNERS {
            let named = source.code.contains(&format!("{library}::"))
                || source.code.contains(&format!("use {library}"));
            assert!(
                !named || owners.contains(&source.top()),
                "{} may not use {library}",
                source.path.display()
            );
        }
    }
}

/// Returns true if code has a string that is the keyword, or a JSON Pointer with it, except where JSON with the keyword is
/// written: `json!({"keyword": …})`.
fn names_keyword(code: &str, keyword: &str) -> bool {
    let name = format!("\"{keyword}\"");
    let is_written = |rest: &str| rest.trim_start().starts_with(':');
    let mut strings = code.split(&name).skip(1);
    strings.any(|rest| !is_written(rest))
        || code.contains(&format!("\"/{keyword}/"))
        || code.contains(&format!("/{keyword}/\""))
}

#[test]
fn schemas_are_read_by_their_crate_only() {
    let mut all = service();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).unwrap() {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        let mut sources = sources(&entry.unwrap().path().join("src"));
        for source in &mut sources {
            source.module.insert(0, name.clone());
        }
        all.extend(sources);
    }
    let mut found = Vec::new();
    let mut exceptions = BTreeSet::new();
    for source in &all {
        let module = source.module.join("/");
        if source.top() == "schema-dialect" {
            continue;
        }
        let named: Vec<_> = SCHEMA_KEYWORDS
            .into_iter()
            .filter(|keyword| names_keyword(&source.code, keyword))
            .collect();
        let mut allowed = READERS
            .into_iter()
            .chain(OTHER_MEANINGS.map(|(module, _)| module));
        match allowed.find(|allowed| module.starts_with(allowed)) {
            Some(exception) if !named.is_empty() => drop(exceptions.insert(exception)),
            Some(_) => {}
            None => found.extend(named.iter().map(|keyword| format!("{module}: {keyword}"))),
        }
    }
    assert!(
        found.is_empty(),
        "ask a node of the schema's tree (crates/schema-dialect) instead of looking up keywords in JSON: {found:#?}"
    );
    assert_eq!(
        exceptions.len(),
        READERS.len() + OTHER_MEANINGS.len(),
        "only these need an exception: {exceptions:?}"
    );
}

#[test]
fn keywords_are_found_however_they_are_looked_up() {
    for code in [
        r#"members.get("required")"#,
        r#"schema["required"]"#,
        r#"for keyword in ["allOf", "required"] { members.get_mut(keyword) }"#,
        r#"match name { "required" => true, _ => false }"#,
        r#"schema.pointer("/required/0")"#,
        r#"pointer.replace('/', "/required/")"#,
    ] {
        assert!(names_keyword(code, "required"), "{code}");
    }
    let written = r#"json!({"required": ["a"], "title": "requirements"})"#;
    assert!(!names_keyword(written, "required"));
}

#[test]
fn the_documentation_of_the_crate_has_the_same_layers() {
    let map =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (module, layer) in LAYERS.into_iter().filter(|(module, _)| *module != "main") {
        assert!(
            map.contains(&format!("| {layer} | [`{module}`] |")),
            "src/lib.rs does not say that {module} is layer {layer}"
        );
    }
}

#[test]
fn nested_braces_are_read() {
    let source = Source {
        path: PathBuf::new(),
        module: vec!["a".into(), "b".into()],
        code: "use crate::{x::{y, z::W as V}, q}; use super::c::{self, D};".into(),
    };
    let found: Vec<_> = paths(&source).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["x::y", "x::z::W", "q", "a::c", "a::c::D"]);
}
