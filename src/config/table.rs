//! The text of a TOML file as a table of bounded depth.

use super::problem::Problem;

/// Most levels of a file, and of a key of the environment or a flag. No key of ours has half as many.
pub(super) const DEEPEST: usize = 16;

/// The toml crate bounds the brackets and the parts of a key, 80 each, and not the two together: a file of 7 kB nests
/// thousands of levels, and whoever reads, walks or drops them by recursion on an ordinary stack ends the process. Here is
/// room for all that it lets through, at most 5 kB a level. What is not touched of it costs nothing.
const STACK: usize = 64 * 1024 * 1024;

/// Parses the text of a file. `origin` is its name, as problems will print it.
pub(super) fn parse(text: &str, origin: &str) -> Result<toml::Table, Problem> {
    std::thread::scope(|scope| {
        let room = std::thread::Builder::new().stack_size(STACK);
        let parsing = room.spawn_scoped(scope, || bounded(text, origin)).ok()?;
        parsing.join().ok()
    })
    .unwrap_or_else(|| {
        let remedy = "make room in memory, or divide the file";
        Err(Problem::new(origin, "", "cannot be parsed: there is no thread to do it", remedy))
    })
}

fn bounded(text: &str, origin: &str) -> Result<toml::Table, Problem> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        Problem::new(
            origin,
            "",
            format!("not TOML at line {line}, column {column} ({})", error.message()),
            "correct that line; see https://toml.io",
        )
    })?;
    if table.values().any(|value| is_deeper(value, DEEPEST)) {
        let problem = format!("has tables or lists in each other, more than {DEEPEST} levels deep");
        return Err(Problem::new(origin, "", problem, "write keys of the configuration reference only"));
    }
    Ok(table)
}

fn is_deeper(value: &toml::Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        toml::Value::Table(table) => table.values().any(|inner| is_deeper(inner, below)),
        toml::Value::Array(items) => items.iter().any(|inner| is_deeper(inner, below)),
        _ => false,
    }
}
