//! The reference names exactly the keys that are accepted, with their defaults.

use super::super::reference::{reference, sections};
use super::*;

/// Returns a configuration with one entry in each kind of table, and `extra` in the table with this header.
fn with_extra(header: &str, extra: &str) -> Start {
    let tables = [
        ("", "model = \"m\"\n"),
        ("server", ""),
        ("limits", ""),
        ("cache", "max_bytes = 1024\n"),
        ("schemas", ""),
        ("jobs", ""),
        ("log", ""),
        ("local", ""),
        (
            "providers.NAME",
            "kind = \"azure\"\nbase_url = \"http://127.0.0.1\"\n",
        ),
        ("models.NAME", "provider = \"p\"\n"),
        ("callers.NAME", "key = \"caller-key\"\n"),
    ];
    let text: String = tables
        .iter()
        .map(|(table, keys)| {
            let name = match table.split_once('.') {
                Some(("providers", _)) => "providers.p",
                Some(("models", _)) => "models.m",
                Some(_) => "callers.c",
                None => table,
            };
            let extra = if *table == header { extra } else { "" };
            match name {
                "" => format!("{keys}{extra}"),
                name => format!("[{name}]\n{keys}{extra}"),
            }
        })
        .collect();
    Start::file(&text)
}

#[test]
fn the_reference_lists_exactly_the_accepted_keys() {
    for section in sections() {
        let error = with_extra(section.header, "zzzzzz = 1\n").error();
        let (_, allowed) = error.split_once("allowed: ").expect(&error);
        let mut allowed: Vec<_> = allowed.split(", ").collect();
        allowed.retain(|name| {
            let is_table = |header: &str| header.split('.').next() == Some(*name);
            !section.header.is_empty() || !sections().any(|other| is_table(other.header))
        });
        let mut listed: Vec<_> = section.keys.iter().map(|key| key.name).collect();
        allowed.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, allowed, "[{}]", section.header);
    }
}

#[test]
fn the_reference_has_the_defaults_in_force() {
    let loaded = with_extra("", "").load().expect("a valid configuration");
    let mut compared = 0;
    for in_force in &loaded.origins {
        if in_force.origin != super::super::Origin::Default || in_force.key == "model" {
            continue;
        }
        let header = match in_force.section.split_once('.') {
            Some((table, _)) => format!("{table}.NAME"),
            None => in_force.section.clone(),
        };
        let section = sections().find(|section| section.header == header);
        let keys = section.expect(&header).keys;
        let key = keys.iter().find(|key| key.name == in_force.key);
        let default = in_force
            .value
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        assert_eq!(
            key.expect(&in_force.key).default,
            default,
            "{header}.{}",
            in_force.key
        );
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn the_reference_names_variables_and_flags() {
    let text = reference();
    for (name, _) in super::super::environment::VARIABLES {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    assert!(text.contains(
        "| `max_concurrency` | `EXTRACTD_MAX_CONCURRENCY`, `--max-concurrency` | `64` | "
    ));
}
