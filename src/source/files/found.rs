//! The local files that a path, a folder or a pattern names, and the order they are taken in.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::{FilesError, SNIFF};

/// The files of a path, a folder or a pattern, by name; what cannot be read goes to `errors`.
pub(super) fn list(pattern: &str, errors: &mut Vec<FilesError>) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let mut out = Vec::new();
    if path.is_file() {
        out.push(absolute(path));
    } else if path.is_dir() {
        walk(path, &mut |file| out.push(file), errors);
    } else if pattern.contains(['*', '?', '[', '{']) {
        // Only what was asked is a pattern, not the folder it is asked in.
        let folder = std::env::current_dir().unwrap_or_default();
        let full = match path.is_absolute() {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", globset::escape(&folder.display().to_string())),
        };
        let glob = match GlobBuilder::new(&full).literal_separator(true).build() {
            Ok(glob) => glob.compile_matcher(),
            Err(source) => {
                errors.push(FilesError::Pattern { pattern: pattern.to_owned(), source });
                return out;
            }
        };
        let fixed: PathBuf = path
            .components()
            .take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
            .collect();
        let fixed = absolute(if fixed.as_os_str().is_empty() { Path::new(".") } else { &fixed });
        if fixed.is_dir() {
            let mut each = |file: PathBuf| {
                if glob.is_match(&file) {
                    out.push(file);
                }
            };
            walk(&fixed, &mut each, errors);
        }
    }
    out.sort();
    out
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn walk(folder: &Path, each: &mut impl FnMut(PathBuf), errors: &mut Vec<FilesError>) {
    let fail = |source| FilesError::Io { path: folder.display().to_string(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return errors.push(fail(e)),
    };
    for entry in entries {
        let (entry, kind) = match entry.and_then(|e| Ok((e.file_type()?, e))) {
            Ok((kind, entry)) => (entry, kind),
            Err(e) => {
                errors.push(fail(e));
                continue;
            }
        };
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !hidden {
            walk(&entry.path(), each, errors);
        } else if !hidden && (kind.is_file() || kind.is_symlink() && entry.path().is_file()) {
            // A link to a folder is not followed: it may lead back here.
            each(absolute(&entry.path()));
        }
    }
}

/// Records about the world are learnt before the events they explain.
pub(super) fn sort(files: &mut Vec<PathBuf>, is_audit: &impl Fn(&[u8]) -> bool) {
    files.sort();
    files.dedup();
    files.sort_by_cached_key(|file| {
        let mut head = Vec::new();
        let read = File::open(file).and_then(|f| f.take(SNIFF).read_to_end(&mut head));
        if head.starts_with(&[0x1f, 0x8b]) {
            let mut inflated = vec![0; SNIFF as usize];
            let mut reader = flate2::read::GzDecoder::new(head.as_slice());
            let mut filled = 0;
            while let Ok(n @ 1..) = reader.read(&mut inflated[filled..]) {
                filled += n;
            }
            inflated.truncate(filled);
            head = inflated;
        }
        read.is_ok() && is_audit(&head)
    });
}
