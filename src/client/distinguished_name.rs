//! Distinguished names: as an operator writes them (RFC 4514) and as certificates carry them (X.501), compared as
//! directories do (RFC 4517 §4.2.15).
//!
//! Two traps. A certificate holds the parts from the most general to the most special, and RFC 4514 writes them the other
//! way round: what `openssl x509 -subject` prints without `-nameopt RFC2253` is another name. And the same text is a
//! `PrintableString` in one certificate and a `UTF8String` in the next: comparing bytes, or strings that some library made,
//! refuses the right client, or takes `CN=a\,O=b` for two parts.

use std::fmt;

use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer as _, Tag, ToDer as _};
use x509_parser::prelude::X509Name;

/// Attribute types by the names of RFC 4514 §3, and others that certificates are issued with. Their values are compared
/// without case; those of other types, which are written as numbers, exactly.
const TYPES: [(&str, &str); 16] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("SN", "2.5.4.4"),
    ("GIVENNAME", "2.5.4.42"),
    ("TITLE", "2.5.4.12"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("ORGANIZATIONIDENTIFIER", "2.5.4.97"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
];

/// A name that is not empty. Two are equal when they have the same parts in the same order; the order within a part of
/// several attributes does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    /// The most special first, each with its attributes in order.
    parts: Vec<Vec<Attribute>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    /// Dotted object identifier.
    oid: String,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Prepared for comparison.
    Text(String),
    /// No text that is read here: its DER, compared as it is.
    Der(Vec<u8>),
}

/// What is no distinguished name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No part at all: a certificate with an empty subject must not be anybody's.
    #[error("is empty")]
    Empty,
    /// Not `TYPE=value`.
    #[error("has a part that is not TYPE=value")]
    Part,
    /// A type that is not known by this name.
    #[error("has an attribute type of an unknown name")]
    Type,
    /// A value that needs an escape, or has one that is none (RFC 4514 §2.4).
    #[error("has a value that is not escaped as RFC 4514 demands")]
    Escape,
    /// `#` and no DER in hexadecimal digits.
    #[error("has a value with # that is not DER in hexadecimal digits")]
    Hex,
}

impl DistinguishedName {
    /// Reads RFC 4514. Spaces around separators are forgiven.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.trim().is_empty() {
            return Err(NameError::Empty);
        }
        let mut parts = Vec::new();
        for part in split(text, ',') {
            let mut attributes =
                split(part, '+').into_iter().map(Attribute::parse).collect::<Result<Vec<_>, _>>()?;
            attributes.sort_unstable();
            parts.push(attributes);
        }
        Ok(Self { parts })
    }

    /// A certificate's name; `None`: it is empty.
    pub(super) fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut parts: Vec<Vec<Attribute>> = Vec::new();
        for part in name.iter_rdn() {
            let attribute =
                |(oid, value): (String, &Any<'_>)| Attribute { value: Value::of(&oid, value), oid };
            let mut attributes: Vec<Attribute> =
                part.iter().map(|it| attribute((it.attr_type().to_id_string(), it.attr_value()))).collect();
            attributes.sort_unstable();
            parts.push(attributes);
        }
        parts.reverse();
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// Whether `other` has the same parts in the opposite order: somebody wrote it as the certificate has it.
    pub(super) fn is_reverse_of(&self, other: &Self) -> bool {
        self.parts.iter().eq(other.parts.iter().rev())
    }
}

impl Attribute {
    fn parse(text: &str) -> Result<Self, NameError> {
        let (name, value) = text.split_once('=').ok_or(NameError::Part)?;
        let oid = oid_of(name.trim())?;
        let value = value.trim_start_matches(' ');
        let value = match value.strip_prefix('#') {
            Some(digits) => {
                let der = from_hex(digits.trim_end_matches(' ')).ok_or(NameError::Hex)?;
                let (rest, any) = Any::from_der(&der).map_err(|_| NameError::Hex)?;
                if !rest.is_empty() {
                    return Err(NameError::Hex);
                }
                Value::of(&oid, &any)
            }
            None => Value::Text(prepared(&oid, &unescaped(value)?)),
        };
        Ok(Self { oid, value })
    }
}

impl Value {
    fn of(oid: &str, value: &Any<'_>) -> Self {
        let utf8 = || std::str::from_utf8(value.data).ok().map(str::to_owned);
        let text = match value.tag() {
            // Another class or form: the number of a text's tag says nothing then.
            _ if value.class() != Class::Universal || value.header.constructed() => None,
            Tag::PrintableString | Tag::Ia5String | Tag::NumericString if !value.data.is_ascii() => None,
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => utf8(),
            Tag::BmpString => utf16(value.data),
            _ => None,
        };
        text.map_or_else(
            || Self::Der(value.to_der_vec().unwrap_or_else(|_| value.data.to_vec())),
            |text| Self::Text(prepared(oid, &text)),
        )
    }
}

/// Prepared as caseIgnoreMatch demands (RFC 4518 §2.6.1), for types that are compared so: without case, and with one space
/// where there are several. Only ASCII letters lose their case and nothing is normalised: names that differ in other
/// letters' case or composition differ, which refuses where a directory would accept.
fn prepared(oid: &str, text: &str) -> String {
    if !TYPES.iter().any(|(_, known)| *known == oid) {
        return text.to_owned();
    }
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").to_ascii_lowercase()
}

/// At separators that are not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == separator {
            pieces.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    pieces.push(&text[start..]);
    pieces
}

fn oid_of(name: &str) -> Result<String, NameError> {
    if let Some((_, oid)) = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Ok((*oid).to_owned());
    }
    let is_number = |arc: &str| {
        let is_canonical = arc == "0" || !arc.starts_with('0');
        !arc.is_empty() && is_canonical && arc.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_oid = name.contains('.') && name.split('.').all(is_number);
    if is_oid { Ok(name.to_owned()) } else { Err(NameError::Type) }
}

/// Without escapes. Spaces at the end are not a part of the value unless escaped, which no comparison sees.
fn unescaped(text: &str) -> Result<String, NameError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.trim_end_matches(' ').bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.push(match rest.next() {
                Some(byte @ (b'\\' | b'"' | b'+' | b',' | b';' | b'<' | b'>' | b' ' | b'#' | b'=')) => byte,
                // The space that it escapes was the last character.
                None if text.ends_with("\\ ") => b' ',
                Some(first) => {
                    let pair = [first, rest.next().ok_or(NameError::Escape)?];
                    hex_byte(pair).ok_or(NameError::Escape)?
                }
                None => return Err(NameError::Escape),
            }),
            b'"' | b';' | b'<' | b'>' | 0 => return Err(NameError::Escape),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| NameError::Escape)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| hex_byte(*pair)).collect())?
}

fn hex_byte(pair: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(pair[0])? << 4 | digit(pair[1])?)
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    rest.is_empty().then(|| String::from_utf16(&units).ok())?
}

/// RFC 4514, as compared, so that an operator can write it down as it is shown.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.parts.iter().enumerate() {
            for (second, attribute) in part.iter().enumerate() {
                formatter.write_str(match (number, second) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                })?;
                write!(formatter, "{attribute}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES.iter().find(|(_, oid)| *oid == self.oid).map_or(self.oid.as_str(), |(name, _)| name);
        write!(formatter, "{name}=")?;
        match &self.value {
            Value::Der(der) => {
                formatter.write_str("#")?;
                der.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
            Value::Text(text) => {
                let last = text.chars().count().saturating_sub(1);
                for (at, character) in text.chars().enumerate() {
                    match character {
                        '\\' | '"' | '+' | ',' | ';' | '<' | '>' => write!(formatter, "\\{character}")?,
                        '#' if at == 0 => formatter.write_str("\\#")?,
                        ' ' if at == 0 || at == last => formatter.write_str("\\ ")?,
                        character if character.is_control() => {
                            let mut bytes = [0; 4];
                            for byte in character.encode_utf8(&mut bytes).bytes() {
                                write!(formatter, "\\{byte:02x}")?;
                            }
                        }
                        character => write!(formatter, "{character}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The operator copies it from a refusal in the log; whatever it was, it names the same certificate.
        #[test]
        fn whatever_is_read_is_shown_so_that_it_is_read_again(text in "[CNOUX0-9.=+,#\\\\a-f \u{e9};\"\n]{0,40}") {
            for text in [format!("CN={text}"), text] {
                if let Ok(first) = DistinguishedName::parse(&text) {
                    prop_assert_eq!(DistinguishedName::parse(&first.to_string()), Ok(first), "{}", text);
                }
            }
        }
    }

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_one_name_and_what_is_not() {
        for (one, other, same) in [
            ("CN=radio,O=County Fire,C=US", "cn=Radio, o=county  fire , c=us", true),
            ("CN=radio,O=fire", "2.5.4.3=radio,2.5.4.10=fire", true),
            ("CN=radio,O=fire", "O=fire,CN=radio", false),
            ("CN=radio,O=fire", "CN=radio", false),
            ("CN=radio,O=fire", "CN=radio+O=fire", false),
            ("UID=7+CN=radio", "CN=radio+UID=7", true),
            ("CN=radio+CN=radio", "CN=radio", false),
            ("CN=a\\,O\\=b", "CN=a,O=b", false),
            ("CN=a\\2cO\\3db", "CN=a\\,O\\=b", true),
            ("CN=a=b", "CN=a\\=b", true),
            ("CN=caf\\c3\\a9", "CN=caf\u{e9}", true),
            ("CN=CAF\u{c9}", "CN=caf\u{e9}", false),
            ("CN=#0c0552414449 4f".replace(' ', "").as_str(), "CN=radio", true),
            ("CN=#1305726164696f", "CN=#0c05726164696f", true),
            ("CN=#1e0a0072006100640069006f", "CN=radio", true),
            ("CN=#0405726164696f", "CN=radio", false),
            ("CN=#8c05726164696f", "CN=radio", false),
            ("CN=#0405726164696f", "CN=#0405726164696F", true),
            ("1.2.3.4=Radio", "1.2.3.4=radio", false),
            ("CN=radio\\00", "CN=radio", false),
            ("CN=\\ radio\\ ", "CN=radio", true),
            ("E=a@fire.example", "emailAddress=a@fire.example", true),
        ] {
            assert_eq!(name(one) == name(other), same, "{one} | {other}");
        }
        assert!(name("CN=radio,O=fire,C=US").is_reverse_of(&name("C=US,O=fire,CN=radio")));
        assert!(!name("CN=radio,O=fire").is_reverse_of(&name("CN=radio,O=fire")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, expected) in [
            ("", NameError::Empty),
            ("  ", NameError::Empty),
            ("radio", NameError::Part),
            ("CN=radio,", NameError::Part),
            ("CN=radio,,O=fire", NameError::Part),
            ("CN=radio+", NameError::Part),
            ("XX=radio", NameError::Type),
            ("=radio", NameError::Type),
            ("2..5=radio", NameError::Type),
            ("2.05.4.3=radio", NameError::Type),
            ("OID.2.5.4.3=radio", NameError::Type),
            ("CN=\"radio\"", NameError::Escape),
            ("CN=radio;O=fire", NameError::Escape),
            ("CN=radio\\", NameError::Escape),
            ("CN=radio\\c", NameError::Escape),
            ("CN=radio\\zz", NameError::Escape),
            ("CN=radio\\ff", NameError::Escape),
            ("CN=#", NameError::Hex),
            ("CN=#0c", NameError::Hex),
            ("CN=#0c0572", NameError::Hex),
            ("CN=#0c0161ff", NameError::Hex),
            ("CN=#xyz", NameError::Hex),
        ] {
            assert_eq!(DistinguishedName::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_written_down() {
        for text in [
            "CN=#0405726164696f,O=#8c05726164696f",
            "CN=a\\,b\\+c\\\\,O=x",
            "CN=\\#a",
            "CN=a+UID=7,1.2.3=\\ A\\ ",
            "CN=line\\0abreak",
            "CN=caf\u{e9}",
        ] {
            let shown = name(text).to_string();
            assert_eq!(name(&shown), name(text), "{text}: {shown}");
            assert!(!shown.contains('\n'), "{shown}");
        }
    }
}
