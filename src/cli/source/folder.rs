//! A folder: each text file is an input, in the order of their paths, its id the path within the folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use super::input::OnInput;

const ENDINGS: [&str; 2] = ["txt", "md"];

pub fn read(folder: &Path, each: &mut OnInput) -> anyhow::Result<()> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    if files.is_empty() {
        bail!("{} has no file that ends in .txt or .md", folder.display());
    }
    files.sort();
    for path in files {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            bail!("{} is not UTF-8", path.display())
        };
        let id = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy();
        each(&json!({"id": id, "input": text.trim_start_matches('\u{feff}')}).to_string())?;
    }
    Ok(())
}

/// Folders in it too; neither hidden ones, nor what a link points to, which may be the folder itself.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(cannot)?);
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            find(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}
