//! Borrowed access to the members of a JSON object, tolerant of types and casing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{Text, Time};

/// The members of an object in their order, values unread.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key or string that borrows when it holds no escape.
pub(super) struct Borrowed<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Borrowed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Borrowed<'de>, E> {
                Ok(Borrowed(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Borrowed<'de>, E> {
                Ok(Borrowed(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(Seen)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some((Borrowed(key), value)) = map.next_entry::<Borrowed<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

impl<'a> Fields<'a> {
    pub fn parse(text: &'a str) -> Option<Fields<'a>> {
        serde_json::from_str(text).ok()
    }

    /// The value of a key in any casing; the first, when it comes twice. A null is no value.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.get()).filter(|v| *v != "null")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    pub fn text(&self, name: &str) -> Option<Text<'a>> {
        text(self.get(name)?)
    }

    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        Fields::parse(self.get(name).filter(|v| v.starts_with('{'))?)
    }
}

/// The member of a JSON text by its name or its path (`Updates.0.GroupId`), in any letter case: its text, a
/// number or a truth as written, an object or a list as JSON.
pub fn member<'a>(json: &'a str, path: &str) -> Option<Text<'a>> {
    let fields = Fields::parse(json);
    let (value, rest) = match fields.as_ref().and_then(|f| f.get(path)) {
        Some(value) => (value, None),
        None => {
            let (first, rest) =
                path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
            let value = match &fields {
                Some(fields) => fields.get(first).filter(|_| rest.is_some())?,
                None => {
                    let list: Vec<&RawValue> = serde_json::from_str(json).ok()?;
                    list.get(first.parse::<usize>().ok()?)?.get()
                }
            };
            (value, rest)
        }
    };
    match rest {
        Some(rest) => member(value, rest),
        None if value.starts_with(['{', '[']) => Some(Cow::Borrowed(value)),
        None => text(value),
    }
}

/// The text of a value: a string unescaped, a number or boolean as written; `None` when it is
/// empty, null, an object or a list.
pub(super) fn text(value: &str) -> Option<Text<'_>> {
    let text = match value.as_bytes().first()? {
        b'"' => string(value)?,
        b'{' | b'[' | b'n' => return None,
        _ => Cow::Borrowed(value),
    };
    if text.is_empty() { None } else { Some(text) }
}

/// A string value unescaped.
pub(super) fn string(value: &str) -> Option<Text<'_>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(value).ok().map(Cow::Owned)
}

/// A whole number, also one written as text.
pub(super) fn integer(value: &str) -> Option<i64> {
    text(value)?.trim().parse().ok()
}

pub(super) fn time(value: &str) -> Option<Time> {
    Time::parse(&text(value)?)
}

/// The same JSON without white space between its tokens; borrowed when there is none.
pub(super) fn compact(value: &str) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    let mut out: Option<Vec<u8>> = None;
    let mut in_string = false;
    let mut escaped = false;
    let mut copied = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if byte == b'"' {
            in_string = true;
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            let out = out.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            out.extend_from_slice(&bytes[copied..i]);
            copied = i + 1;
        }
    }
    match out {
        None => Cow::Borrowed(value),
        Some(mut out) => {
            out.extend_from_slice(&bytes[copied..]);
            // Only white space was left out, so this is still UTF-8.
            String::from_utf8(out).map_or(Cow::Borrowed(value), Cow::Owned)
        }
    }
}

/// Mends what Azure DevOps is known to write wrongly inside strings: an unknown escape stands for
/// its backslash and letter, a raw control character for itself, a lone surrogate for U+FFFD.
/// `None` when there was nothing to mend. (The audit API's invalid escapes are a field report.)
pub(super) fn mend(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let (mut in_string, mut mended, mut i) = (false, false, 0);
    while let Some(&byte) = bytes.get(i) {
        match (in_string, byte) {
            (false, b'"') => in_string = true,
            (true, b'"') => in_string = false,
            (true, b'\\') => {
                let (length, good) = escape(&bytes[i..]);
                match good {
                    Some(replacement) => {
                        mended = true;
                        out.extend_from_slice(replacement);
                        if replacement == b"\\\\" {
                            i += 1;
                            continue;
                        }
                    }
                    None => out.extend_from_slice(&bytes[i..i + length]),
                }
                i += length;
                continue;
            }
            (true, 0..=0x1f) => {
                mended = true;
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                i += 1;
                continue;
            }
            _ => {}
        }
        out.push(byte);
        i += 1;
    }
    if mended { String::from_utf8(out).ok() } else { None }
}

/// Length of the sound escape at the start of `bytes`; `None` for a bad one.
pub(super) fn escape_length(bytes: &[u8]) -> Option<usize> {
    match escape(bytes) {
        (length, None) => Some(length),
        _ => None,
    }
}

/// Length of the escape at the start of `bytes`, and what must stand in its place if it is bad.
fn escape(bytes: &[u8]) -> (usize, Option<&'static [u8]>) {
    const DOUBLED: &[u8] = b"\\\\";
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (2, None),
        Some(b'u') => match unit(bytes) {
            None => (1, Some(DOUBLED)),
            Some(0xd800..=0xdbff) => match bytes.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => (12, None),
                _ => (6, Some(b"\\ufffd")),
            },
            Some(0xdc00..=0xdfff) => (6, Some(b"\\ufffd")),
            Some(_) => (6, None),
        },
        _ => (1, Some(DOUBLED)),
    }
}

/// The code unit of a `\uXXXX` escape at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_in_any_casing_and_values_in_any_type() {
        let fields =
            Fields::parse(r#"{"PipelineId":"18","n":7,"Null":null,"S":"a\u0041","O":{"x":1}}"#).unwrap();
        assert_eq!(fields.get("pipelineid").and_then(integer), Some(18));
        assert_eq!(fields.get("N").and_then(integer), Some(7));
        assert_eq!(fields.text("s").as_deref(), Some("aA"));
        assert!(fields.get("null").is_none() && fields.has("null"));
        assert_eq!(fields.object("o").unwrap().get("X"), Some("1"));
    }

    #[test]
    fn compacting_keeps_strings() {
        assert!(matches!(compact(r#"{"a":"b c"}"#), Cow::Borrowed(_)));
        assert_eq!(compact("{ \"a\" :\n [ \"b \\\" c\" ] }"), r#"{"a":["b \" c"]}"#);
    }

    #[test]
    fn mends_what_is_known_to_come_broken() {
        assert_eq!(mend(r#"{"a":"C:\dir\'s"}"#).unwrap(), r#"{"a":"C:\\dir\\'s"}"#);
        assert_eq!(mend(r#"{"a":"\ud800x"}"#).unwrap(), r#"{"a":"\ufffdx"}"#);
        assert_eq!(mend(r#"{"a":"\udc00\u12"}"#).unwrap(), r#"{"a":"\ufffd\\u12"}"#);
        assert_eq!(mend("{\"a\":\"x\ty\"}").unwrap(), r#"{"a":"x\u0009y"}"#);
        assert_eq!(mend(r#"{"a":"\ud83d\ude00\n"}"#), None);
    }
}
