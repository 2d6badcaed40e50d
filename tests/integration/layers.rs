//! Import layers: the sources under `src/` use what is below them and nothing else (CONTRIBUTING.md).
//!
//! A layer that is broken once is soon broken everywhere: the way of a request stops being readable from top to
//! bottom, and a module can no longer be tested without the modules above it.

use std::{fs, path::Path};

use rstest::rstest;

/// Top to bottom. A module may use the layers below its own, and nothing on its own line.
const LAYERS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["app"],
    &["server"],
    &["api"],
    &["exchange"],
    &["client", "home", "partner", "cache"],
    &["idm"],
    &["diagnosis"],
    &["oauth", "jose", "http"],
    &["certificate"],
    &["telemetry", "clock", "random", "secret"],
    &["json"],
];

/// Edges on one line that are allowed all the same.
const SIDEWAYS: &[(&str, &str)] = &[("jose", "oauth"), ("http", "oauth")];

/// Modules beside the layers: name, what they may use, who may use them.
const BESIDE: &[(&str, &[&str], &[&str])] = &[
    ("config", &["oauth", "secret"], &["app", "cli", "main"]),
    ("sandbox", &["oauth", "jose", "clock", "random", "secret"], &["cli", "main"]),
];

/// One mention of a top-level module of this crate.
#[derive(Debug, PartialEq)]
struct Mention {
    line: usize,
    module: String,
}

#[test]
fn sources_use_what_is_below_them() {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    files.sort();
    let edges: usize = files.iter().map(|(path, source)| mentions(path, source).len()).sum();
    let wrong: Vec<String> = files.iter().flat_map(|(path, source)| violations(path, source)).collect();

    assert!(
        edges > 0,
        "no `crate::` path found in {} files: the check looks in the wrong place",
        files.len()
    );
    assert!(wrong.is_empty(), "import layers (see CONTRIBUTING.md):\n{}", wrong.join("\n"));
}

/// Every edge that the rules allow points down, so no cycle of top-level modules can pass.
#[test]
fn rules_allow_no_cycle() {
    let modules: Vec<&str> =
        LAYERS.concat().into_iter().chain(BESIDE.iter().map(|(name, _, _)| *name)).collect();
    let mut left = modules.clone();
    // Kahn's algorithm: take away what uses nothing that is left, until nothing is left.
    while let Some(at) = left.iter().position(|from| left.iter().all(|to| !may_use(from, to))) {
        left.remove(at);
    }
    assert_eq!(left, Vec::<&str>::new(), "these modules may use each other in a circle");
}

#[rstest]
#[case::group(
    "src/home/keys.rs",
    "use crate::{\n    jose::Key,\n    exchange::{self, policy::X},\n};",
    "src/home/keys.rs:3: home must not use exchange: it is not below home"
)]
#[case::inline(
    "src/oauth/form.rs",
    "fn f() {\n  crate::api::render();\n}",
    "src/oauth/form.rs:2: oauth must not use api: it is not below oauth"
)]
#[case::sideways(
    "src/home/mod.rs",
    "pub(crate) use crate::partner::Registry;",
    "src/home/mod.rs:1: home must not use partner: it is not below home"
)]
#[case::by_super(
    "src/cache/redis/pool.rs",
    "use super::super::super::home::Key;",
    "src/cache/redis/pool.rs:1: cache must not use home: it is not below cache"
)]
#[case::by_super_from_file(
    "src/server.rs",
    "use super::app::App;",
    "src/server.rs:1: server must not use app: it is not below server"
)]
#[case::config_readers(
    "src/home/mod.rs",
    "use crate::config::Home;",
    "src/home/mod.rs:1: home must not use config: only app, cli, main may"
)]
#[case::config_reads(
    "src/config/mod.rs",
    "use crate::http::Client;",
    "src/config/mod.rs:1: config must not use http: it may use oauth, secret only"
)]
#[case::sandbox_is_apart(
    "src/sandbox/idm.rs",
    "use crate::idm::Call;",
    "src/sandbox/idm.rs:1: sandbox must not use idm: it may use oauth, jose, clock, random, secret only"
)]
#[case::after_a_test_module(
    "src/clock.rs",
    "#[cfg(test)]\nmod tests { fn f() { crate::api::x(); } }\nuse crate::home::X;",
    "src/clock.rs:3: clock must not use home: it is not below clock"
)]
#[case::after_a_comment_mark_in_a_string(
    "src/clock.rs",
    "const A: &str = \"http://x\"; const B: char = '\"';\nuse crate::home::X;",
    "src/clock.rs:2: clock must not use home: it is not below clock"
)]
#[case::unknown_target(
    "src/home/mod.rs",
    "use crate::helpers::x;",
    "src/home/mod.rs:1: helpers is in no layer: give it one in tests/integration/layers.rs"
)]
#[case::unknown_source(
    "src/helpers.rs",
    "use crate::secret::Secret;",
    "src/helpers.rs:1: helpers is in no layer: give it one in tests/integration/layers.rs"
)]
#[case::the_binary(
    "src/secret.rs",
    "use mcx_token_broker::cli;",
    "src/secret.rs:1: secret must not use cli: it is not below secret"
)]
fn a_bad_edge_is_named(#[case] path: &str, #[case] source: &str, #[case] expected: &str) {
    assert_eq!(violations(path, source), [expected]);
}

#[rstest]
#[case::down("src/home/mod.rs", "use crate::{idm::Call, oauth::Scope, clock::Clock};")]
#[case::own_module("src/home/mod.rs", "use crate::home::keys::KeySet; use super::home;")]
#[case::jose_on_oauth("src/jose/mod.rs", "use crate::oauth::TokenType;")]
#[case::config_in_app("src/app.rs", "use crate::config::Configuration;")]
#[case::sandbox_in_cli("src/cli/demo.rs", "use crate::sandbox::Sandbox;")]
#[case::comments(
    "src/clock.rs",
    "//! [`crate::api`]\n/* crate::home /* nested */ crate::cache */\n/// see crate::app\nfn f() {}"
)]
#[case::strings(
    "src/clock.rs",
    "const A: &str = \"crate::api \\\" crate::home\"; const B: &str = r#\"\"crate::cli\"#;"
)]
#[case::tests("src/clock.rs", "#[cfg(test)]\nmod tests {\n  use crate::api::x;\n  const B: char = '}';\n}")]
#[case::test_import("src/clock.rs", "#[cfg(test)]\nuse crate::{api::x};")]
#[case::test_file("src/home/tests.rs", "use crate::exchange::x;")]
#[case::own_child(
    "src/oauth/mod.rs",
    "use crate::oauth::http; use self::cache::X; pub(in crate::oauth) fn f() {}"
)]
#[case::parent("src/home/keys/mod.rs", "use super::cache::Remembered;")]
#[case::inline_module(
    "src/clock.rs",
    "fn now() {} mod system { fn f() { super::now(); super::super::clock::now(); } }"
)]
#[case::root_item("src/home/mod.rs", "use crate::VERSION; crate::some_macro!();")]
fn a_good_edge_passes(#[case] path: &str, #[case] source: &str) {
    assert_eq!(violations(path, source), [] as [String; 0]);
}

/// Reads every `.rs` file below `directory`, as (path from the repository's root, source).
fn collect(directory: &Path, name: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &name, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    }
}

fn violations(path: &str, source: &str) -> Vec<String> {
    let from = top_level_module(path);
    mentions(path, source)
        .into_iter()
        .filter_map(|Mention { line, module }| {
            let why = objection(from, &module)?;
            Some(format!("{path}:{line}: {why}"))
        })
        .collect()
}

fn may_use(from: &str, to: &str) -> bool {
    from != to && objection(from, to).is_none()
}

/// Why `from` must not use `to`; `None` when it may.
fn objection(from: &str, to: &str) -> Option<String> {
    if let Some(stranger) = [from, to].into_iter().find(|module| !is_known(module)) {
        return Some(format!("{stranger} is in no layer: give it one in tests/integration/layers.rs"));
    }
    let beside = |module| BESIDE.iter().find(|(name, _, _)| *name == module);
    let reason = match (beside(from), beside(to)) {
        _ if from == to => return None,
        (_, Some((_, _, users))) if users.contains(&from) => return None,
        (_, Some((_, _, users))) => format!("only {} may", users.join(", ")),
        (Some((_, uses, _)), None) if uses.contains(&to) => return None,
        (Some((_, uses, _)), None) => format!("it may use {} only", uses.join(", ")),
        (None, None) if layer(from) < layer(to) || SIDEWAYS.contains(&(from, to)) => return None,
        (None, None) => format!("it is not below {from}"),
    };
    Some(format!("{from} must not use {to}: {reason}"))
}

fn is_known(module: &str) -> bool {
    layer(module).is_some() || BESIDE.iter().any(|(name, _, _)| *name == module)
}

/// Place in [`LAYERS`], counted from the top.
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// `src/home/keys.rs` and `src/home.rs` are `home`.
fn top_level_module(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// How many `super::` lead from a file's module to the crate's root.
fn depth(path: &str) -> usize {
    let inside = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs").trim_end_matches("/mod");
    match inside {
        "main" | "lib" => 0,
        _ => inside.split('/').count(),
    }
}

/// The top-level modules that a file names: by `crate::`, by the package's name, or by enough `super::`.
fn mentions(path: &str, source: &str) -> Vec<Mention> {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let code = without_tests(without_text(source));
    let to_root = "super::".repeat(depth(path));
    let prefixes = ["crate::", "mcx_token_broker::", &to_root];
    let mut found = Vec::new();
    for prefix in prefixes.into_iter().filter(|prefix| !prefix.is_empty()) {
        for (at, _) in code.match_indices(prefix) {
            let before = &code[..at];
            let is_whole =
                !before.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == ':');
            // `pub(in crate::home)` is visibility, not use.
            if is_whole && !before.trim_end().ends_with("(in") {
                let mut named = Vec::new();
                names(&code, at + prefix.len(), &mut named);
                // In a module written inside the file the same `super::` ends at the file's own items.
                named.retain(|mention| prefix != to_root || is_known(&mention.module));
                found.extend(named);
            }
        }
    }
    found.retain(|mention| is_module(&mention.module) && mention.module != top_level_module(path));
    found.sort_by_key(|mention| mention.line);
    found
}

/// Types, constants and macros at the crate's root are not modules.
fn is_module(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('!')
}

/// The first segments that follow a prefix which ends at `start`: one name, or each member of a `{...}` group.
fn names(code: &str, start: usize, found: &mut Vec<Mention>) {
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    let mut nested = 0_usize;
    let mut expected = true;
    let mut at = start;
    while let Some(next) = code[at..].chars().next() {
        match next {
            '{' => nested += 1,
            '}' => nested = nested.saturating_sub(1),
            ',' if nested == 1 => expected = true,
            _ if expected && nested <= 1 && (next.is_alphabetic() || next == '_') => {
                let rest = &code[at..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let bang = usize::from(rest[end..].starts_with('!'));
                found.push(Mention { line: line_of(at), module: rest[..end + bang].to_owned() });
                expected = false;
                at += end;
                if nested == 0 {
                    return;
                }
                continue;
            }
            _ => {}
        }
        if nested == 0 && !next.is_whitespace() {
            return;
        }
        at += next.len_utf8();
    }
}

/// Blanks every item under `#[cfg(test)]`: tests may use anything. Lines keep their numbers.
fn without_tests(mut code: String) -> String {
    const MARK: &str = "#[cfg(test)]";
    while let Some(start) = code.find(MARK) {
        let mut nested = 0_usize;
        let end = code[start..]
            .char_indices()
            .find_map(|(at, next)| {
                match next {
                    '{' => nested += 1,
                    '}' => nested = nested.saturating_sub(1),
                    _ => {}
                }
                let ends = nested == 0 && matches!(next, ';' | '}');
                ends.then_some(start + at + 1)
            })
            .unwrap_or(code.len());
        let blank = blanked(&code[start..end]);
        code.replace_range(start..end, &blank);
    }
    code
}

/// Blanks comments, strings and character literals, so that what is left is code only. Lines keep their numbers.
fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let after_word = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if let Some(length) = text_length(rest, after_word) {
            code.push_str(&blanked(&rest[..length]));
            rest = &rest[length..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

fn blanked(text: &str) -> String {
    text.chars().map(|next| if next == '\n' { '\n' } else { ' ' }).collect()
}

/// Length of the comment or literal that `rest` begins with, if it begins with one.
fn text_length(rest: &str, after_word: bool) -> Option<usize> {
    let until =
        |mark: &str, from: usize| rest[from..].find(mark).map_or(rest.len(), |at| from + at + mark.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if rest.starts_with('r') && !after_word {
        let hashes = rest[1..].chars().take_while(|next| *next == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return Some(until(&format!("\"{}", "#".repeat(hashes)), hashes + 2));
        }
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    // 'x' and '\n' are literals, 'a in `&'a str` is a lifetime.
    let mut characters = rest.strip_prefix('\'')?.chars();
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (_, Some('\'')) => Some(quoted_length(rest, '\'')),
        _ => None,
    }
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        if next == quote && !escaped {
            return at + next.len_utf8();
        }
        escaped = next == '\\' && !escaped;
    }
    rest.len()
}

fn block_comment_length(rest: &str) -> usize {
    let mut nested = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            nested += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            nested -= 1;
            at += 2;
            if nested == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}
