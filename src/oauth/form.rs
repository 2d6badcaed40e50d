//! `application/x-www-form-urlencoded` requests, read strictly.

use std::borrow::Cow;

/// More parameters than any grant has: bounds the work of a hostile body.
const MAX_PARAMETERS: usize = 64;

/// The parameters of one request, each at most once (RFC 6749 §3.2). Unknown ones are kept unread.
#[derive(Debug)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a body is not a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The same parameter twice: two readers could pick different ones.
    #[error("a parameter is repeated")]
    Repeated,
    /// More than 64 parameters.
    #[error("more than {MAX_PARAMETERS} parameters")]
    TooMany,
    /// Percent-encoding that does not decode to UTF-8, or a NUL.
    #[error("the body is not UTF-8 form data")]
    Encoding,
}

impl<'a> Form<'a> {
    /// Parses a body. An empty value counts as absent (RFC 6749 §3.2).
    pub fn parse(body: &'a [u8]) -> Result<Self, FormError> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        let ends = memchr::memchr_iter(b'&', body).chain([body.len()]);
        let mut begin = 0;
        for end in ends {
            let pair = &body[begin..end];
            begin = end + 1;
            if pair.is_empty() {
                continue;
            }
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(FormError::Repeated);
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`, unless absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }
}

/// Decodes one form-urlencoded part: `+` is a space, `%XX` a byte. Malformed escapes, bytes that are not UTF-8, and NUL are refused.
pub fn decode(part: &[u8]) -> Result<Cow<'_, str>, FormError> {
    let Some(first) = memchr::memchr3(b'%', b'+', 0, part) else {
        return std::str::from_utf8(part).map(Cow::Borrowed).map_err(|_| FormError::Encoding);
    };
    let mut bytes = Vec::with_capacity(part.len());
    let (mut plain, mut rest) = part.split_at(first);
    loop {
        bytes.extend_from_slice(plain);
        rest = match rest {
            [] => break,
            [b'+', rest @ ..] => {
                bytes.push(b' ');
                rest
            }
            [b'%', high, low, rest @ ..] => {
                let digits = hex(*high).zip(hex(*low)).ok_or(FormError::Encoding)?;
                bytes.push(digits.0 * 16 + digits.1);
                rest
            }
            _ => return Err(FormError::Encoding),
        };
        (plain, rest) = rest.split_at(memchr::memchr3(b'%', b'+', 0, rest).unwrap_or(rest.len()));
    }
    if bytes.contains(&0) {
        return Err(FormError::Encoding);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| FormError::Encoding)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes parameters as a request body.
pub fn encode<'p>(parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// Encodes one value, as RFC 6749 §2.3.1 wants ids and secrets before the Basic scheme.
pub fn encode_value(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_bodies_have_a_defined_outcome() {
        let many = (0..65).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        for (body, expected) in [
            (&b"a=1&a=2"[..], FormError::Repeated),
            (b"a=1&%61=2", FormError::Repeated),
            (b"a=%", FormError::Encoding),
            (b"a=%zz", FormError::Encoding),
            (b"a=%ff", FormError::Encoding),
            (b"a=\xff", FormError::Encoding),
            (b"a=%00", FormError::Encoding),
            (b"a=\0", FormError::Encoding),
            (many.as_bytes(), FormError::TooMany),
        ] {
            assert_eq!(Form::parse(body).err(), Some(expected), "{body:?}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let form = Form::parse(b"&scope=&client_id=a+b%2Bc&flag").unwrap();
        assert_eq!(form.get("scope"), None);
        assert_eq!(form.get("flag"), None);
        assert_eq!(form.get("client_id"), Some("a b+c"));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
        }

        #[test]
        fn what_is_encoded_is_read_back(value in "[^\0]{1,40}") {
            let body = encode([("name", value.as_str())]);
            let form = Form::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(form.get("name"), Some(value.as_str()));
        }
    }
}
