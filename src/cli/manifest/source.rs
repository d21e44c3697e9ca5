//! Texts of manifests: files, directories, standard input; and the documents in them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Remark, remark};

/// Largest manifest. A cluster takes some 1.5 MiB an object.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A text and its name.
#[derive(Debug)]
pub(super) struct Text {
    /// As the user named it.
    pub(super) file: Arc<str>,
    /// All of it.
    pub(super) text: String,
}

/// One document of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'t> {
    /// From its `---`, if it has one.
    pub(super) text: &'t str,
    /// Lines before it.
    pub(super) before: usize,
    /// Its first line that says something, from 1.
    pub(super) start: usize,
}

/// Reads everything that can be read.
pub(super) fn collect(paths: &[PathBuf], errors: &mut Vec<Remark>) -> Vec<Text> {
    let mut texts = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            add("standard input", io::stdin().lock(), &mut texts, errors);
        } else if path.is_dir() {
            match listed(path) {
                Ok(files) if files.is_empty() => {
                    errors.push(remark(&name(path), None, "the directory holds no *.yaml, *.yml or *.json file"));
                }
                Ok(files) => files.iter().for_each(|file| add_file(file, &mut texts, errors)),
                Err(error) => errors.push(remark(&name(path), None, format!("failed to list the directory: {error}"))),
            }
        } else {
            add_file(path, &mut texts, errors);
        }
    }
    texts
}

fn name(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

fn listed(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let manifest = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json")) && !path.is_dir()
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(manifest).collect();
    files.sort();
    Ok(files)
}

fn add_file(path: &Path, texts: &mut Vec<Text>, errors: &mut Vec<Remark>) {
    match fs::File::open(path) {
        Ok(file) => add(&name(path), file, texts, errors),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            errors.push(remark(&name(path), None, "there is no such file or directory"));
        }
        Err(error) => errors.push(remark(&name(path), None, format!("failed to open it: {error}"))),
    }
}

fn add(name: &str, from: impl Read, texts: &mut Vec<Text>, errors: &mut Vec<Remark>) {
    let file: Arc<str> = name.into();
    let mut bytes = Vec::new();
    if let Err(error) = from.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        errors.push(remark(&file, None, format!("failed to read it: {error}")));
    } else if bytes.len() as u64 > MAX_BYTES {
        errors.push(remark(&file, None, format!("it is larger than {} MiB", MAX_BYTES / 1024 / 1024)));
    } else {
        match String::from_utf8(bytes) {
            Ok(text) => texts.push(Text { file, text }),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
                errors.push(remark(&file, Some(line), "it is not UTF-8 text"));
            }
        }
    }
}

/// The documents of a text, without those that say nothing. `---` at the start of a line begins one, wherever it stands.
pub(super) fn documents(text: &str) -> Vec<Part<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut starts = vec![(0, 0)];
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if offset > 0 && is_marker(line) {
            starts.push((offset, number));
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).map(|(offset, _)| *offset).chain([text.len()]);
    let parts = starts.iter().zip(ends).filter_map(|((begin, before), end)| part(&text[*begin..end], *before));
    parts.collect()
}

fn part(text: &str, before: usize) -> Option<Part<'_>> {
    let said = |line: &str| {
        let line = if is_marker(line) { &line[3..] } else { line };
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with('%') && line != "..."
    };
    let first = text.lines().position(said)?;
    Some(Part { text, before, start: before + first + 1 })
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}
