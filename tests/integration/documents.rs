//! The tests that the documents name exist.

use std::fs;
use std::path::Path;

/// All that is written below a directory.
pub(crate) fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.extend(["//// ", &path.display().to_string(), "\n", &fs::read_to_string(&path).unwrap()]);
        }
    }
}

/// `file::name`, in backquotes.
fn named(document: &str) -> Vec<(String, String)> {
    let quoted = document.split('`').skip(1).step_by(2);
    let named = quoted.filter_map(|text| text.split_once("::"));
    let is_word = |text: &str| {
        text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
    };
    named
        .filter(|(file, name)| is_word(file) && is_word(name) && name.contains('_'))
        .map(|(file, name)| (file.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for directory in ["tests", "src", "fuzz"].map(|name| root.join(name)).iter().filter(|path| path.is_dir())
    {
        sources(directory, &mut all);
    }
    let files: Vec<&str> = all.split("//// ").collect();
    for (document, least) in [("docs/security.md", 80), ("docs/reliability.md", 30)] {
        let named = named(&fs::read_to_string(root.join(document)).unwrap());
        assert!(named.len() >= least, "{document} names {} tests", named.len());
        for (file, name) in named {
            let function = format!("fn {name}(");
            let there = files.iter().any(|text| {
                let at = text.lines().next().unwrap_or_default();
                at.contains(&file) && text.contains(&function)
            });
            assert!(there, "{document} names {file}::{name}, which is not there");
        }
    }
}
