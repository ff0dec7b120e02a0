//! The files whose words are counted.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::codes::Code;
use crate::error::{Exit, Failure};

/// What is counted where there is no repository around: a program has no files with it.
const SAMPLE: &str = include_str!("../../../README.md");

/// Most files taken by default: a demo is short.
const FILES_MAX: usize = 500;

/// How deep they are looked for.
const DEPTH_MAX: usize = 8;

/// Makes the paths absolute, and makes sure of each that it can be read before anything starts.
pub(crate) fn readable(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    files.iter().map(|file| check(file)).collect()
}

fn check(path: &Path) -> Result<PathBuf, Failure> {
    let what = format!("cannot count the words of {}", path.display());
    let refuse = |why: &dyn std::fmt::Display, fix: &str| {
        Err(Failure::new(Code::FileUnreadable, &what, why, fix))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return refuse(&error, "check the path"),
    };
    if metadata.is_dir() {
        return refuse(&"it is a directory", "name the files in it");
    }
    if !metadata.is_file() {
        let fix = "write it to a file first: other processes read it";
        return refuse(&"it is not a regular file", fix);
    }
    if let Err(error) = File::open(path) {
        return refuse(&error, "make the file readable for you");
    }
    match std::path::absolute(path) {
        Ok(path) if path.to_str().is_some() => Ok(path),
        Ok(_) => refuse(&"its name is not UTF-8", "rename it, or link to it under another name"),
        Err(error) => refuse(&error, "check the path"),
    }
}

/// The Markdown files of the repository around `start`; where there is none, a sample written to
/// `folder`.
pub(crate) fn default_files(start: &Path, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if let Some(root) = repository(start) {
        let mut files = Vec::new();
        collect(&root, DEPTH_MAX, &mut files);
        files.retain(|file| check(file).is_ok());
        files.sort();
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let sample = folder.join("sample.md");
    std::fs::write(&sample, SAMPLE).map_err(|error| {
        let what = format!("cannot write {}", sample.display());
        Failure::new(Exit::CannotCreate, what, error, "name files to count the words of")
    })?;
    Ok(vec![sample])
}

/// The nearest folder from `start` upwards that holds a workspace, else a package.
fn repository(start: &Path) -> Option<PathBuf> {
    let manifest = |folder: &&Path| folder.join("Cargo.toml").is_file();
    let workspace = |folder: &&Path| {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        text.lines().any(|line| line.trim() == "[workspace]")
    };
    let packages = || start.ancestors().filter(manifest);
    packages().find(workspace).or_else(|| packages().next()).map(Path::to_owned)
}

/// Finds Markdown files below a folder; not in hidden ones, not in build output, through no link.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let skipped = name.starts_with('.') || name == "target" || name == "node_modules";
            if depth > 0 && !skipped {
                collect(&path, depth - 1, files);
            }
        } else if metadata.is_file() && name.ends_with(".md") && files.len() < FILES_MAX {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.txt");
        std::fs::write(&good, "words").unwrap();
        let missing = folder.path().join("missing.txt");
        for (bad, reason) in [
            (missing.as_path(), "No such file"),
            (folder.path(), "directory"),
            (Path::new("/dev/null"), "regular"),
        ] {
            let failure = readable(&[good.clone(), bad.to_owned()]).expect_err(reason);
            assert_eq!(failure.exit, Exit::NoInput);
            assert!(failure.what.contains(bad.to_str().unwrap()), "{}", failure.what);
            assert!(failure.why.contains(reason), "{}", failure.why);
        }
        let found = readable(std::slice::from_ref(&good)).expect("it can be read");
        assert_eq!(found, [good]);
    }

    #[test]
    fn the_repository_around_is_the_default_input() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for inner in ["member/src", "docs", "target", ".git"] {
            std::fs::create_dir_all(root.join(inner)).unwrap();
        }
        std::fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        std::fs::write(root.join("member/Cargo.toml"), "[package]\n").unwrap();
        for file in ["README.md", "docs/delivery.md", "target/no.md", ".git/no.md", "notes.txt"] {
            std::fs::write(root.join(file), "words").unwrap();
        }
        let files = default_files(&root.join("member/src"), root).expect("files were found");
        assert_eq!(files, [root.join("README.md"), root.join("docs/delivery.md")]);
    }

    #[test]
    fn without_a_repository_a_sample_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let files = default_files(folder.path(), folder.path()).expect("the sample");
        assert_eq!(files, [folder.path().join("sample.md")]);
        assert!(!std::fs::read_to_string(&files[0]).unwrap().is_empty(), "the sample has words");
    }
}
