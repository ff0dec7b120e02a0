//! Rules for what the documents say of the code.

use crate::{files, has_word, read, report, root};

/// Pieces of text between single backticks.
pub(super) fn code_spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("```")) {
        spans.extend(line.split('`').skip(1).step_by(2));
    }
    spans
}

/// Folders of the root, by name.
fn top_folders() -> Vec<String> {
    let entries = std::fs::read_dir(root()).expect("the root can be read");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether a module path such as `worker::engine::acking` leads to a file, or to something that a
/// file on the way names.
fn module_exists(path: &str) -> bool {
    let mut parts = path.split("::");
    let krate = parts.next().unwrap_or_default().replace('_', "-");
    let mut folder = root().join(&krate).join("src");
    let mut text = read(&format!("{krate}/src/lib.rs"));
    text = text.or_else(|| read(&format!("{krate}/src/main.rs")));
    for part in parts {
        let here = text.unwrap_or_default();
        let file = folder.join(format!("{part}.rs"));
        let nested = folder.join(part).join("mod.rs");
        folder = folder.join(part);
        let found = std::fs::read_to_string(file).or_else(|_| std::fs::read_to_string(nested));
        match found {
            Ok(module) => text = Some(module),
            Err(_) => return has_word(&here, part),
        }
    }
    true
}

#[test]
fn every_path_in_the_architecture_exists() {
    let Some(architecture) = read("ARCHITECTURE.md") else { return };
    let folders = top_folders();
    let is_ours = |name: &str| folders.iter().any(|folder| *folder == name);
    let mut breaches = Vec::new();
    for span in code_spans(&architecture) {
        let is_pattern = span.contains(['*', '<', '{', '(', ' ']);
        if is_pattern {
            continue;
        }
        if let Some((first, _)) = span.split_once("::") {
            if is_ours(&first.replace('_', "-")) && !module_exists(span) {
                breaches.push(format!("`{span}`: no such module"));
            }
        } else if let Some((first, _)) = span.split_once('/')
            && is_ours(first)
            && !root().join(span).exists()
        {
            breaches.push(format!("`{span}`: no such file or folder"));
        }
    }
    report("ARCHITECTURE.md names what there is", &breaches);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut breaches = Vec::new();
    for file in files(&["md"]) {
        let folder = root().join(&file.path);
        let folder = folder.parent().expect("a file lies in a folder");
        for link in file.text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere && !folder.join(target).exists() {
                breaches.push(format!("{}: {target}", file.path));
            }
        }
    }
    report("correct the link", &breaches);
}

#[test]
fn every_example_is_in_the_list_of_examples() {
    let Some(list) = read("examples/README.md") else { return };
    let sources = files(&["rs"]).into_iter().map(|file| file.path);
    let missing = sources.filter_map(|path| {
        let name = path.strip_prefix("examples/")?.strip_suffix(".rs")?.to_owned();
        let known = name.contains('/') || has_word(&list, &name);
        (!known).then_some(path)
    });
    report("name the example in examples/README.md", &missing.collect::<Vec<_>>());
}

#[test]
fn spans_and_module_paths_are_read_as_meant() {
    assert_eq!(code_spans("a `b/c.rs` d `e::f`\n```\nx"), ["b/c.rs", "e::f"]);
    assert!(module_exists("coordination::store"), "a file");
    assert!(module_exists("coordination::store::Guard"), "something that a file names");
    assert!(!module_exists("coordination::no_such_module"));
}
