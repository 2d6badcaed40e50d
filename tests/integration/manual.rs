//! The pages of man and the completion scripts that a release ships.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcx-token-broker");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

/// The commands below `path` that `--help` lists, at every level.
fn commands(path: &[&str], found: &mut BTreeSet<String>) {
    found.insert([&["mcx-token-broker"], path].concat().join("-"));
    let help = run(&[path, &["--help"]].concat());
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let listed = listed.lines().take_while(|line| !line.is_empty());
    for name in listed.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = name.split_whitespace().next().expect("a name");
        if name != "help" {
            commands(&[path, &[name]].concat(), found);
        }
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(directory).expect("it was made");
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_command_has_a_page_that_man_takes_and_every_shell_a_script() {
    let place = tempfile::tempdir().unwrap();
    let output = run(&["manual", "--output", &place.path().display().to_string()]);
    assert!(output.status.success(), "{output:?}");

    let mut expected = BTreeSet::new();
    commands(&[], &mut expected);
    assert!(expected.contains("mcx-token-broker-partners-schema"), "{expected:?}");
    let pages = place.path().join("man/man1");
    let stems: BTreeSet<String> =
        names(&pages).iter().map(|name| name.strip_suffix(".1").expect("section 1").to_owned()).collect();
    assert!(expected.is_subset(&stems), "missing: {:?}", expected.difference(&stems));
    let of_help = |name: &&String| name.contains("-help");
    assert!(stems.difference(&expected).all(|name| of_help(&name)), "{stems:?}");
    for name in &stems {
        let page = pages.join(format!("{name}.1"));
        // groff says what it does not understand on standard error; that a long word leaves its line ragged is no matter.
        let formatted = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-Wbreak", "-z"])
            .arg(&page)
            .output()
            .expect("groff is there: .ci/test installs it");
        let complaints = String::from_utf8_lossy(&formatted.stderr).into_owned();
        assert!(formatted.status.success() && complaints.is_empty(), "{name}: {complaints}");
    }
    let page = fs::read_to_string(pages.join("mcx-token-broker-explain.1")).unwrap();
    for word in ["live", "Exit codes", "jwks"] {
        assert!(page.contains(word), "{word}");
    }

    let scripts = place.path().join("completions");
    let expected = [
        "mcx-token-broker.bash",
        "mcx-token-broker.elv",
        "mcx-token-broker.fish",
        "_mcx-token-broker",
        "_mcx-token-broker.ps1",
    ];
    assert_eq!(names(&scripts), expected.map(str::to_owned).into());
    let script = scripts.join("mcx-token-broker.bash");
    let checked = Command::new("bash").arg("-n").arg(&script).output().expect("bash runs");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    // What a shell asks it for.
    let line = r#"source "$0"; words=$(complete -p mcx-token-broker); function=${words#*-F }
        COMP_WORDS=(mcx-token-broker part); COMP_CWORD=1
        "${function%% *}" mcx-token-broker part; echo "${COMPREPLY[@]}""#;
    let completed = Command::new("bash").args(["-c", line]).arg(&script).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "partners\n", "{completed:?}");
}
