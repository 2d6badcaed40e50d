//! JSON texts where serde costs too much: on every request.

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_is_read_back(text in ".{0,40}") {
            let mut json = Vec::new();
            push_text(&mut json, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }
}
