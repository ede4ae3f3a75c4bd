//! Finds where a JSON value ends without understanding it, so that a broken one costs only itself.

use memchr::memchr3;

/// Why a value has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The bytes end, or a bracket closes that is not open.
    Open,
    /// A raw line break inside a string: JSON forbids it, so the line before is cut short.
    LineBreakInString,
    /// Nested deeper than allowed.
    Deep,
}

/// The index after the value that starts at `at`. Strings are skipped with their escapes; brackets
/// are counted, not matched one by one: whether the value is JSON at all is decided by parsing it.
pub(super) fn value_end(bytes: &[u8], at: usize, depth_limit: usize) -> Result<usize, Broken> {
    let (mut depth, mut lists) = (0usize, 0usize);
    let mut i = at;
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'"' => {
                i = string_end(bytes, i)?;
                if depth == 0 {
                    return Ok(i);
                }
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                lists += usize::from(byte == b'[');
                if depth > depth_limit {
                    return Err(Broken::Deep);
                }
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1).ok_or(Broken::Open)?;
                // A list that closes and never opened: the value has lost a bracket.
                lists = lists.checked_sub(usize::from(byte == b']')).ok_or(Broken::Open)?;
                if depth == 0 {
                    return Ok(i + 1);
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 && i > at => return Ok(i),
            _ => {}
        }
        i += 1;
    }
    if depth == 0 && i > at { Ok(i) } else { Err(Broken::Open) }
}

/// The index after the string whose opening quote is at `at`.
fn string_end(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    let mut i = at + 1;
    loop {
        let rest = bytes.get(i..).unwrap_or_default();
        let found = memchr3(b'"', b'\\', b'\n', rest).ok_or(Broken::Open)?;
        i += found;
        match bytes[i] {
            b'"' => return Ok(i + 1),
            b'\\' => i += 2,
            _ => return Err(Broken::LineBreakInString),
        }
    }
}

/// The index of the first byte that is neither white space nor one of `also`.
pub(super) fn skip(bytes: &[u8], mut at: usize, also: &[u8]) -> usize {
    while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r') || also.contains(b)) {
        at += 1;
    }
    at
}

/// Whether the brackets of a whole value ever nest deeper than `limit`.
pub(super) fn too_deep(bytes: &[u8], limit: usize) -> bool {
    value_end(bytes, skip(bytes, 0, &[]), limit) == Err(Broken::Deep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_every_kind_of_value() {
        for (text, end) in [
            ("{} {}", 2),
            ("{\"a\":\"}\\\"{\"}x", 12),
            ("[1,[2]],3", 7),
            ("\"a\\\\\" 1", 5),
            ("12,13", 2),
            ("true", 4),
        ] {
            assert_eq!(value_end(text.as_bytes(), 0, 9), Ok(end), "{text}");
        }
    }

    #[test]
    fn says_why_there_is_no_end() {
        assert_eq!(value_end(b"{\"a\":1", 0, 9), Err(Broken::Open));
        assert_eq!(value_end(b"{\"a\":\"x\n\"}", 0, 9), Err(Broken::LineBreakInString));
        assert_eq!(value_end(b"[[[[]]]]", 0, 3), Err(Broken::Deep));
        assert_eq!(value_end(b"}", 0, 3), Err(Broken::Open));
    }
}
