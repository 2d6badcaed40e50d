//! The home token that a command works with, from a file or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::secret::Token;

/// Longer than any token response.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The whole of a small file; `-` is standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let length = if path.as_os_str() == "-" {
        io::stdin().lock().take(MAX_FILE_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
    };
    let length = length.with_context(|| format!("{} cannot be read", path.display()))?;
    if length as u64 == MAX_FILE_BYTES {
        bail!("{} is larger than any token response", path.display());
    }
    Ok(text)
}

/// A bare token, or the token of a token response.
pub(super) fn subject_token(text: &str) -> anyhow::Result<Token> {
    let text = text.trim();
    if !text.starts_with('{') {
        if text.is_empty() {
            bail!("the subject token is empty");
        }
        return Ok(Token::from(text));
    }
    let response: Value =
        serde_json::from_str(text).map_err(|_| anyhow::anyhow!("the subject token is not JSON"))?;
    match response.get("access_token") {
        Some(Value::String(token)) => Ok(Token::from(token.as_str())),
        _ => bail!("the subject token's JSON has no access_token"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_token_comes_bare_or_in_the_json_of_a_login() {
        for text in ["abc.def.ghi\n", r#"{"token_type":"Bearer","access_token":"abc.def.ghi"}"#] {
            assert_eq!(subject_token(text).unwrap().expose(), "abc.def.ghi");
        }
        for text in ["", " \n", "{", r#"{"error":"invalid_grant"}"#, r#"{"access_token":7}"#] {
            assert!(subject_token(text).is_err(), "{text}");
        }
    }
}
