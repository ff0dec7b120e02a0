//! The rules of this repository that no compiler checks, read from its text.
//!
//! Each test is one rule and lists every breach of it at once. CONTRIBUTING.md gives the reasons.
//! How long a function may be is clippy's to say.

mod documents;
mod failures;
mod faults;
mod manifests;
mod operating;
mod sources;

use std::path::{Path, PathBuf};

/// One text file of the repository.
struct TextFile {
    /// From the root of the repository, with slashes.
    path: String,
    text: String,
}

/// The folder that holds the workspace.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in a folder of the workspace").to_owned()
}

/// Every file below the root with one of these extensions, without what is built or hidden.
fn files(extensions: &[&str]) -> Vec<TextFile> {
    let root = root();
    let mut found = Vec::new();
    collect(&root, &root, extensions, &mut found);
    assert!(!found.is_empty(), "no file ends in {extensions:?} below {}", root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, extensions: &[&str], found: &mut Vec<TextFile>) {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository can be read");
    for entry in entries {
        let path = entry.expect("an entry of a folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.starts_with("target") {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, extensions, found);
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        // A file that just went away is no breach.
        if let (true, Ok(text)) =
            (extensions.contains(&extension.as_str()), std::fs::read_to_string(&path))
        {
            let path = path.strip_prefix(root).expect("it lies below the root");
            found.push(TextFile { path: path.to_string_lossy().into_owned(), text });
        }
    }
}

/// Reads a file of the repository, if there is one of that path.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// Fails with all breaches of a rule.
fn report(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}\n", breaches.join("\n  "));
}

/// Whether `word` stands in `text` by itself, not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        !text[..start].ends_with(part_of_word)
            && !text[start + word.len()..].starts_with(part_of_word)
    })
}

#[test]
fn words_are_found_whole() {
    assert!(has_word("a job here", "job") && has_word("job", "job") && has_word("(job)", "job"));
    assert!(!has_word("jobs", "job") && !has_word("a_job", "job"));
}
