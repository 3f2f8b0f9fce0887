//! Folder input: each text file is one input, in path order; its id is its path within the folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use super::input::OnInput;
use crate::cli::utf8::decode;

/// Extensions of the files that are read.
const EXTENSIONS: [&str; 2] = ["txt", "md"];

/// Passes each text file to `on_input`.
pub fn read_folder(folder: &Path, on_input: &mut OnInput) -> anyhow::Result<()> {
    let mut files = Vec::new();
    find_files(folder, &mut files)?;
    if files.is_empty() {
        bail!(
            "the folder {} has no file with the extension .txt or .md",
            folder.display()
        );
    }
    files.sort();
    for path in files {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = decode(&bytes, &path.display().to_string())?;
        let id = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy();
        on_input(&json!({"id": id, "input": text}).to_string())?;
    }
    Ok(())
}

/// Collects the text files of a folder and its subfolders. Hidden entries are skipped, and links to
/// folders, which may be circular.
fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let message = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(message)? {
        let entry = entry.with_context(message)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(message)?);
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            find_files(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}
