//! Masks secrets in bytes that are no whole JSON: an answer cut on the way, an invalid escape, a text
//! inside a text.
//!
//! There is nothing to parse, so names are looked for, at any depth of escaping, and what follows one
//! is read strictly. Where that makes no sense, all the rest is masked: better too much than a secret.

use memchr::{memchr, memmem};

use super::redact::{SECRET, is_harmless};

/// Members whose values are secrets but for harmless ones: the environment of a machine, and what a
/// service connection signs in with.
const MAPS: [&str; 3] = ["systemCapabilities", "userCapabilities", "parameters"];

/// Of the latter, what may be kept.
const PLAIN: [&str; 5] = ["tenantid", "serviceprincipalid", "authenticationtype", "scope", "scheme"];

/// The bytes without secrets; `None` when they hold none.
pub(super) fn hide(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut hider = Hider { bytes, out: Vec::new(), copied: 0, is_audit: None };
    let mut at = hider.headless();
    while let Some(found) = memchr(b'"', bytes.get(at..)?) {
        at += found;
        at = hider.after(at);
    }
    let Hider { mut out, copied, .. } = hider;
    out.extend_from_slice(bytes.get(copied..)?);
    (out != bytes).then_some(out)
}

/// Whether there is an audit record somewhere.
fn is_audit(bytes: &[u8]) -> bool {
    let has = |word: &[u8]| bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"actionid\"") || has(b"actionid\\\"") || has(b"operationname\"")
}

struct Hider<'b> {
    bytes: &'b [u8],
    out: Vec<u8>,
    /// Up to where `out` has the bytes.
    copied: usize,
    /// Whether they are of the audit log, once that was asked.
    is_audit: Option<bool>,
}

impl Hider<'_> {
    /// Puts a mask in place of a span.
    fn mask(&mut self, from: usize, until: usize, with: &[u8]) {
        self.out.extend_from_slice(self.bytes.get(self.copied..from).unwrap_or_default());
        self.out.extend_from_slice(with);
        self.copied = until;
    }

    /// Masks what comes before the end of an object that began before these bytes: whether it is the
    /// environment of a machine cannot be told any more.
    fn headless(&mut self) -> usize {
        let bytes = self.bytes;
        let tells = [b"apabilities".as_slice(), b"\"Agent."].iter().any(|w| memmem::find(bytes, w).is_some());
        // A text may be quoted.
        let begins = bytes.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\\'));
        if !tells || matches!(begins, Some(b'{' | b'[') | None) {
            return 0;
        }
        let mut depth = 0usize;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                // The next record.
                b'{' if bytes[..at].ends_with(b"\n") => return 0,
                b'{' => depth += 1,
                b'}' if depth == 0 => {
                    self.mask(0, at, b"***");
                    return at;
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
        0
    }

    /// Takes what follows the quote at an index, if that ends the name of a secret; returns where to go on.
    fn after(&mut self, at: usize) -> usize {
        let bytes = self.bytes;
        let Some(level) = Level::of(backslashes(&bytes[..at])) else { return at + 1 };
        let before = &bytes[..at - level.marks()];
        let named = |name: &str| {
            let start = before.len().checked_sub(name.len()).filter(|start| *start > 0);
            start.is_some_and(|start| {
                before[start..].eq_ignore_ascii_case(name.as_bytes()) && before[start - 1] == b'"'
            })
        };
        let is_map = MAPS.iter().any(|name| named(name));
        // In an audit record a token is the address of a permission.
        let is_secret = SECRET.iter().any(|name| {
            named(name) && (*name != "token" || !*self.is_audit.get_or_insert_with(|| is_audit(bytes)))
        });
        if !is_map && !is_secret {
            return at + 1;
        }
        let colon = level.skip(bytes, at + 1);
        if bytes.get(colon) != Some(&b':') {
            return at + 1;
        }
        let value = level.skip(bytes, colon + 1);
        if is_map && bytes.get(value) == Some(&b'{') {
            return self.map(value + 1, level);
        }
        match level.string(bytes, value) {
            Some((_, end)) => self.value(value, end, level),
            None if level.opens(bytes, value) => self.rest(value),
            None => value.max(at + 1),
        }
    }

    /// The pairs of a map, read strictly.
    fn map(&mut self, from: usize, level: Level) -> usize {
        let bytes = self.bytes;
        let mut at = level.skip(bytes, from);
        if bytes.get(at) == Some(&b'}') {
            return at + 1;
        }
        loop {
            let pair = at;
            let Some((name, end)) = level.string(bytes, at) else { return self.rest(pair) };
            at = level.skip(bytes, end);
            if bytes.get(at) != Some(&b':') {
                return self.rest(pair);
            }
            at = level.skip(bytes, at + 1);
            let name = std::str::from_utf8(name).unwrap_or_default();
            let is_plain = is_harmless(name) || PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name));
            let end = match level.string(bytes, at) {
                Some((_, end)) => end,
                None => at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count(),
            };
            let next = level.skip(bytes, end);
            if end == at || !matches!(bytes.get(next), Some(b',' | b'}')) {
                return self.rest(at);
            }
            if !is_plain {
                self.value(at, end, level);
            }
            at = level.skip(bytes, next + 1);
            if bytes[next] == b'}' {
                return next + 1;
            }
        }
    }

    /// Masks a value, if it says something.
    fn value(&mut self, from: usize, until: usize, level: Level) -> usize {
        let says = &self.bytes[from..until];
        let quoted = level.quote(b"***");
        if says != b"null" && says != level.quote(b"").as_slice() && says != quoted.as_slice() {
            self.mask(from, until, &quoted);
        }
        until
    }

    /// Masks all that follows.
    fn rest(&mut self, from: usize) -> usize {
        let end = self.bytes.len();
        if from < end {
            self.mask(from, end, b"***");
        }
        end
    }
}

fn backslashes(before: &[u8]) -> usize {
    before.iter().rev().take_while(|b| **b == b'\\').count()
}

/// How often the text was put inside a text: so a quote has 0, 1, 3, 7... backslashes before it.
#[derive(Clone, Copy)]
struct Level(u32);

impl Level {
    fn of(marks: usize) -> Option<Level> {
        (0..4).map(Level).find(|level| level.marks() == marks)
    }

    fn marks(self) -> usize {
        (1 << self.0) - 1
    }

    fn quote(self, text: &[u8]) -> Vec<u8> {
        let mut mark = vec![b'\\'; self.marks()];
        mark.push(b'"');
        [mark.as_slice(), text, mark.as_slice()].concat()
    }

    /// Whether a string begins here.
    fn opens(self, bytes: &[u8], at: usize) -> bool {
        let marks = self.marks();
        let here = bytes.get(at..at + marks + 1);
        here.is_some_and(|here| here[marks] == b'"' && here[..marks].iter().all(|b| *b == b'\\'))
    }

    /// The index after white space, also where that is escaped.
    fn skip(self, bytes: &[u8], mut at: usize) -> usize {
        let marks = self.marks();
        loop {
            match bytes.get(at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
                Some(b'\\') if marks > 0 => {
                    let here = bytes.get(at..at + marks + 1).unwrap_or_default();
                    let is_space = matches!(here.last(), Some(b'n' | b'r' | b't'));
                    if !is_space || backslashes(&here[..marks]) != marks {
                        return at;
                    }
                    at += marks + 1;
                }
                _ => return at,
            }
        }
    }

    /// The string that begins here, and the index after it; `None` if none does, or it has no end.
    fn string(self, bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
        if !self.opens(bytes, at) {
            return None;
        }
        let start = at + self.marks() + 1;
        let mut from = start;
        loop {
            let quote = from + memchr(b'"', bytes.get(from..)?)?;
            let mut marks = backslashes(&bytes[start..quote]);
            for _ in 0..self.0 {
                // The end of the text around it.
                if marks.is_multiple_of(2) {
                    return None;
                }
                marks = (marks - 1) / 2;
            }
            if marks.is_multiple_of(2) {
                return Some((&bytes[start..quote - self.marks()], quote + 1));
            }
            from = quote + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let out =
            hide(text.as_bytes()).map_or_else(|| text.to_owned(), |out| String::from_utf8(out).unwrap());
        // Masked once, it is masked.
        assert_eq!(hide(out.as_bytes()), None, "{out}");
        out
    }

    const AGENT: &str = r#"{"value":[{"id":1,"systemCapabilities":{"Agent.Name":"lin-1","PATH":"C:\dir","KEY":"s3cr3t a}b \" x"},"userCapabilities":{"u":"s3cr3t"},"authorization":{"parameters":{"tenantid":"t","other":"s3cr3t"}},"token":"s3cr3t","name":"lin-1"}]}"#;

    #[test]
    fn wherever_an_answer_is_cut_no_secret_is_left() {
        for end in 0..=AGENT.len() {
            assert!(!hidden(&AGENT[..end]).contains("s3c"), "{}", hidden(&AGENT[..end]));
        }
        let all = hidden(AGENT);
        assert_eq!(
            all,
            r#"{"value":[{"id":1,"systemCapabilities":{"Agent.Name":"lin-1","PATH":"***","KEY":"***"},"userCapabilities":{"u":"***"},"authorization":{"parameters":{"tenantid":"t","other":"***"}},"token":"***","name":"lin-1"}]}"#
        );
        // As a text inside a text, and once more.
        for depth in 1..3 {
            let wrap = |text: &str| serde_json::Value::from(text).to_string();
            let inside = (0..depth).fold(AGENT.to_owned(), |text, _| wrap(&text));
            let clean = (0..depth).fold(all.clone(), |text, _| wrap(&text));
            assert_eq!(hidden(&inside), clean);
            for end in 0..inside.len() {
                assert!(!hidden(&inside[..end]).contains("s3c"), "{}", hidden(&inside[..end]));
            }
        }
    }

    #[test]
    fn what_cannot_be_followed_is_masked_to_the_end() {
        let odd = r#"{"systemCapabilities":{"A":"C:\","KEY":"x}y s3cr3t"},"name":"n"}"#;
        assert_eq!(hidden(odd), r#"{"systemCapabilities":{"A":***"#);
        // The beginning is missing.
        let tail = r#"CRET":"s3cr3t"},"userCapabilities":{"u":"s3cr3t"}}"#;
        assert_eq!(hidden(tail), r#"***},"userCapabilities":{"u":"***"}}"#);
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            r#"{"actionId":"Security.ModifyPermission","data":{"Token":"repoV2/1"#,
            r#"{"systemCapabilities":null,"token":"","password":null"#,
            r#"{"systemCapabilities": {"Agent.Name": "lin-1", "n": null}"#,
            r#""systemCapabilities""#,
            "",
        ] {
            assert_eq!(hidden(text), text);
        }
    }
}
