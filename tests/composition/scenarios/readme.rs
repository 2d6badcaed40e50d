//! The lines of README.md, as they are printed there.

use crate::compose::{Composition, bounded, compose_command, output, project_directory, succeeded};

pub(super) async fn what_is_printed_works(composition: &Composition) {
    let readme = std::fs::read_to_string(project_directory().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("With Docker")).unwrap();
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [up, lines, down] = blocks[..] else { panic!("three blocks, not {}", blocks.len()) };
    assert!(up.contains("docker-compose up -d") && down.contains("down -v"), "the others are known to work");

    // The files that it leaves are in the way of nothing.
    let place = tempfile::tempdir().unwrap();
    let file = project_directory().join("docker-compose.yml");
    let mut shell = bounded(120);
    shell.args(["sh", "-eu", "-c", &lines.replace("docker-compose", &compose_command().join(" "))]);
    shell.current_dir(place.path()).env("COMPOSE_FILE", file);
    for (name, value) in composition.settings() {
        shell.env(name, value);
    }
    let printed = succeeded("README.md", &output(&mut shell));

    assert_eq!(printed.matches("\"access_token\"").count(), 2, "{} characters", printed.len());
    assert!(printed.contains("<group "), "no group document");
}
