//! Reads JSON in one pass, strictly, telling an object's members on the way.
//!
//! What `serde_json` does for every other record; audit records are the bulk of all input, and one
//! look at their bytes, nested objects included, is most of what reading them costs.

use std::borrow::Cow;

/// A place in a text. Every method leaves it after what was read, or returns `None`: then the text
/// is no JSON there, and the place means nothing.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// How many objects and lists are open.
    depth: usize,
    /// The most that were open at once.
    pub deepest: usize,
    /// Bytes of white space seen between tokens.
    pub blanks: usize,
    /// Closing brackets that are waited for while a value is skipped.
    open: Vec<u8>,
}

/// A member's name as written between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    text: &'a str,
    /// It holds a backslash, so its text is not yet what it means.
    escaped: bool,
}

impl<'a> Name<'a> {
    /// What the name means.
    pub fn meaning(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.text));
        }
        serde_json::from_str::<String>(&format!("\"{}\"", self.text)).ok().map(Cow::Owned)
    }
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, at: usize) -> Cursor<'a> {
        Cursor { text, at, depth: 0, deepest: 0, blanks: 0, open: Vec::new() }
    }

    /// The index of the next byte to be read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was read since an index.
    pub fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at)
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes white space.
    pub fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.blanks += 1;
        }
    }

    /// Reads the object that starts here. `member` is called at each value, which it must read.
    pub fn object(&mut self, mut member: impl FnMut(&mut Cursor<'a>, Name<'a>) -> Option<()>) -> Option<()> {
        self.byte(b'{')?;
        self.enter();
        self.blank();
        if self.peek() == Some(b'}') {
            return self.leave();
        }
        loop {
            let name = self.string()?;
            self.blank();
            self.byte(b':')?;
            self.blank();
            member(self, name)?;
            self.blank();
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    self.blank();
                }
                b'}' => return self.leave(),
                _ => return None,
            }
        }
    }

    /// Reads any value; returns its text.
    pub fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        let base = self.open.len();
        loop {
            // At a value.
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' => {
                    self.at += 1;
                    self.enter();
                    self.blank();
                    if self.peek()? == b'}' {
                        self.leave()?;
                    } else {
                        self.open.push(b'}');
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.enter();
                    self.blank();
                    if self.peek()? == b']' {
                        self.leave()?;
                    } else {
                        self.open.push(b']');
                        continue;
                    }
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => self.number()?,
            }
            // After a value: up to the next one of what is open.
            loop {
                let Some(&close) = self.open.get(base..).and_then(|o| o.last()) else {
                    return self.since(start);
                };
                self.blank();
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        self.blank();
                        if close == b'}' {
                            self.name()?;
                        }
                        break;
                    }
                    byte if byte == close => {
                        self.open.pop();
                        self.leave()?;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.blank();
        self.byte(b':')?;
        self.blank();
        Some(())
    }

    fn enter(&mut self) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    /// Passes a closing bracket.
    fn leave(&mut self) -> Option<()> {
        self.at += 1;
        self.depth = self.depth.checked_sub(1)?;
        Some(())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn literal(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Reads the string that starts here. One with a lone surrogate is refused: it is no text.
    fn string(&mut self) -> Option<Name<'a>> {
        self.byte(b'"')?;
        let bytes = self.text.as_bytes();
        let (start, mut escaped) = (self.at, false);
        let mut i = start;
        loop {
            i = plain_end(bytes, i);
            self.at = i;
            match bytes.get(i)? {
                b'"' => {
                    self.at = i + 1;
                    return Some(Name { text: self.text.get(start..i)?, escaped });
                }
                b'\\' => {
                    escaped = true;
                    i += super::json::escape_length(&bytes[i..])?;
                }
                _ => return None,
            }
        }
    }
}

/// The index of the first quote, backslash or control character from `i` on. Eight bytes at a time.
fn plain_end(bytes: &[u8], mut i: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    while let Some(eight) = bytes.get(i..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let zero = |w: u64| w.wrapping_sub(ONES) & !w;
        let quote = zero(word ^ (ONES * b'"' as u64));
        let backslash = zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return i + (found.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while bytes.get(i).is_some_and(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    /// Whether serde_json takes all of it as one value, without a lone surrogate.
    fn theirs(text: &str) -> bool {
        let sound = serde_json::from_str::<&RawValue>(text).is_ok();
        sound
            && match serde_json::from_str::<serde_json::Value>(text) {
                Ok(_) => true,
                Err(e) => e.to_string().contains("number out of range"),
            }
    }

    fn ours(text: &str) -> bool {
        let mut cursor = Cursor::new(text, 0);
        cursor.blank();
        let read = cursor.value().is_some();
        cursor.blank();
        read && cursor.at() == text.len()
    }

    #[test]
    fn reads_what_is_json_and_nothing_else() {
        for text in [
            "{}",
            "[]",
            " {\"a\":[1,{\"b\":null}],\"c\":\"\\u00e9\\n\"} ",
            "-0.5e+3",
            "0",
            "\"\\ud83d\\ude00\"",
            "[[[]],{\"a\":{}}]",
            "\"abcdefgh\\\"ijklmnop\"",
            "true",
            "\"caf\u{e9} \u{1f600} and more of it\"",
        ] {
            assert!(ours(text) && theirs(text), "{text}");
        }
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01x]",
            "-",
            "1.",
            "1e",
            "tru",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "{a:1}",
            "{\"a\":1]",
            "[}",
            "\"abc",
            "+1",
            ".5",
            "nul",
        ] {
            assert!(!ours(text) && !theirs(text), "{text}");
        }
    }

    #[test]
    fn members_come_in_order_with_their_values() {
        let text = r#"{"a": 1, "b\u0063": {"x": [1, 2]} , "d":"e"}"#;
        let mut seen = Vec::new();
        let mut cursor = Cursor::new(text, 0);
        cursor.object(|c, name| c.value().map(|v| seen.push((name.text, name.escaped, v)))).unwrap();
        assert_eq!(seen, [("a", false, "1"), ("b\\u0063", true, "{\"x\": [1, 2]}"), ("d", false, "\"e\"")]);
        assert_eq!((cursor.at(), cursor.deepest, cursor.blanks), (text.len(), 3, 7));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(500_000);
        assert!(!ours(&deep));
        let closed = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let mut cursor = Cursor::new(&closed, 0);
        assert!(cursor.value().is_some() && cursor.deepest == 1000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:"\\ue0-9.+-]|true|null|"a"|\\ud8|\\u0041|[ \n]){0,24}"#) {
            prop_assert_eq!(ours(&text), theirs(&text));
        }
    }
}
