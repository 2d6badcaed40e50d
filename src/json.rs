//! JSON texts where serde costs too much, on every request; and values that strangers wrote, for people.

use serde_json::Value;

/// Longest value that a person is shown, in characters.
const LONGEST_SHOWN: usize = 120;

/// A value that anybody can have written, as a terminal may show it: short, on one line, in the order in which it is read.
/// A line break in it would forge a line of a report, an override of the direction what the line says.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(LONGEST_SHOWN).map(harmless).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() { cut + "..." } else { cut }
}

/// A character of a stranger's text, as a terminal may show it.
pub fn harmless(character: char) -> char {
    let turns =
        matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || turns { '\u{fffd}' } else { character }
}

/// Appends a JSON string (RFC 8259 §7). Nearly all texts need no escape; what does is left to serde.
pub fn push_text(json: &mut Vec<u8>, text: &str) {
    // No early end, so that the compiler looks at many bytes at a time.
    let control = text.bytes().fold(0, |any, byte| any | u8::from(byte < b' '));
    if control == 0 && memchr::memchr2(b'"', b'\\', text.as_bytes()).is_none() {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        // Writing a text to a Vec cannot fail.
        let _ = serde_json::to_writer(json, text);
    }
}

/// The same of a text, in quotes.
pub fn quoted(text: &str) -> String {
    shown(&Value::from(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_is_one_short_line_that_says_what_it_is() {
        for (value, expected) in [
            (serde_json::json!("alice@mcx.example"), "\"alice@mcx.example\"".to_owned()),
            (serde_json::json!(["mcx", 1]), "[\"mcx\",1]".to_owned()),
            (serde_json::json!("a\nok b\u{9b}2J\u{202e}c"), "\"a\\nok b\u{fffd}2J\u{fffd}c\"".to_owned()),
            (serde_json::json!("é".repeat(200)), format!("\"{}...", "é".repeat(119))),
        ] {
            assert_eq!(shown(&value), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_appended_is_read_back(text in ".{0,40}") {
            let mut json = Vec::new();
            push_text(&mut json, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }
}
