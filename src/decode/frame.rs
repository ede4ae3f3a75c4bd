//! Top-level values of a body, one after another; a broken one costs only itself.
//!
//! Brackets and commas between records separate like white space, so an array, a stream of
//! concatenated objects, NDJSON, and any part of them that was cut between two records read alike.

use memchr::memmem;
use serde_json::value::RawValue;

use super::audit::Read;
use super::cursor::Cursor;
use super::hide::hide;
use super::json::mend;
use super::scan::{skip, value_end};
use super::{Sink, shape};
use crate::model::Reason;

const SEPARATORS: &[u8] = b",[]\x1e\0";

/// Failed attempts to find the next record may read this many times the body, no more.
const PATIENCE: usize = 16;

/// Reads the whole body into the sink.
pub(super) fn walk<'a>(bytes: &'a [u8], sink: &mut Sink<'a, '_>) {
    walk_from(bytes, 0, false, sink);
}

/// Reads what lies at an offset of the body, and may be without secrets already.
fn walk_from<'a>(bytes: &'a [u8], base: usize, is_clean: bool, sink: &mut Sink<'a, '_>) {
    let patience = bytes.len().saturating_mul(PATIENCE);
    let mut walker = Walker { bytes, base, is_clean, texts: texts(bytes), patience };
    let mut at = 0;
    loop {
        at = skip(bytes, at, SEPARATORS);
        if at >= bytes.len() {
            return;
        }
        sink.position = base + at;
        at = match walker.whole(at) {
            Some((read, end)) => {
                shape::record(&walker.text(at)[..end - at], Some(read), sink);
                end
            }
            None => walker.odd(at, sink),
        };
    }
}

struct Walker<'a> {
    bytes: &'a [u8],
    /// Where they start in the body.
    base: usize,
    /// Whether they are known to hold no secret that a fault in the JSON would lay open.
    is_clean: bool,
    /// The parts that are UTF-8, with where each starts: one, as a rule.
    texts: Vec<(usize, &'a str)>,
    patience: usize,
}

fn texts(bytes: &[u8]) -> Vec<(usize, &str)> {
    if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
        return vec![(0, text)];
    }
    let mut at = 0;
    bytes
        .utf8_chunks()
        .map(|chunk| {
            let start = at;
            at += chunk.valid().len() + chunk.invalid().len();
            (start, chunk.valid())
        })
        .collect()
}

impl<'a> Walker<'a> {
    /// The text from `at` to the next byte that is not UTF-8.
    fn text(&self, at: usize) -> &'a str {
        let next = self.texts.partition_point(|(start, _)| *start <= at);
        let Some((start, text)) = next.checked_sub(1).and_then(|i| self.texts.get(i)) else { return "" };
        text.get(at - start..).unwrap_or("")
    }

    /// The object that starts here, and where it ends, when it is sound.
    fn whole(&self, at: usize) -> Option<(Read<'a>, usize)> {
        if self.bytes.get(at) != Some(&b'{') {
            return None;
        }
        let mut cursor = Cursor::new(self.text(at), 0);
        let read = Read::of(&mut cursor)?;
        Some((read, at + cursor.at()))
    }

    /// Takes what is no sound object; returns where to go on.
    fn odd(&mut self, at: usize, sink: &mut Sink<'a, '_>) -> usize {
        let bytes = self.bytes;
        // From here on a part may lose the name that says that it is a secret.
        if !std::mem::replace(&mut self.is_clean, true)
            && let Some(clean) = hide(&bytes[at..])
        {
            let base = self.base + at;
            sink.owned(None, clean.as_slice(), |clean, inner| walk_from(clean, base, true, inner));
            return bytes.len();
        }
        if bytes[at] != b'{' {
            if !matches!(bytes[at], b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') || self.is_prose(at) {
                return self.prose(at, sink);
            }
            let mut values = serde_json::Deserializer::from_str(self.text(at)).into_iter::<&RawValue>();
            if let Some(Ok(value)) = values.next() {
                let end = at + values.byte_offset();
                if value.get() != "null" {
                    sink.reject(Reason::UnknownShape, "a bare value is no record", &bytes[at..end]);
                }
                return end;
            }
        }
        let bounds = value_end(bytes, at, usize::MAX);
        let end = bounds.unwrap_or(bytes.len());
        let mended = bounds.ok().and_then(|_| mend(std::str::from_utf8(&bytes[at..end]).ok()?));
        let read = mended.as_deref().and_then(Read::whole);
        let is_record = read.as_ref().is_some_and(Read::is_audit);
        let is_sound = read.is_some();
        // A page is read record by record, so that each keeps its own bytes; a record may hold a list too.
        if !is_record && let Some(start) = list_inside(&bytes[at..]) {
            return self.list(at, at + start, sink);
        }
        if let Some(mended) = mended.filter(|_| is_sound) {
            sink.owned(Some(&bytes[at..end]), mended.as_str(), |text, inner| {
                shape::record(text, None, inner)
            });
            return end;
        }
        let next = self.next_record(at + 1, end).unwrap_or(end);
        let broken = trim_end(&bytes[at..next]);
        match std::str::from_utf8(broken) {
            Err(e) => sink.reject(
                Reason::Encoding,
                format!("the record is not UTF-8 (byte {}); send it as UTF-8", e.valid_up_to()),
                broken,
            ),
            Ok(text) => {
                // The line before the next record may only need mending: its neighbour was not part of it.
                if let Some(mended) = mend(text)
                    && Read::whole(&mended).is_some()
                {
                    sink.owned(Some(broken), mended.as_str(), |text, inner| shape::record(text, None, inner));
                } else {
                    let says = serde_json::from_str::<&RawValue>(text)
                        .err()
                        .map_or_else(|| "the record is no JSON object".to_owned(), |e| e.to_string());
                    sink.reject(Reason::Syntax, format!("the record is no JSON: {says}"), broken);
                }
            }
        }
        next
    }

    /// Whether the line from here is text, not a bare JSON value among records.
    fn is_prose(&self, at: usize) -> bool {
        let line = &self.bytes[at..line_end(self.bytes, at)];
        let line = line.trim_ascii_end();
        let line = line.strip_suffix(b",").unwrap_or(line);
        let line = line.strip_suffix(b"]").unwrap_or(line);
        // A value that another value follows on its line is told by reading it.
        !line.contains(&b'{') && serde_json::from_slice::<&RawValue>(line).is_err()
    }

    /// Refuses text that is no JSON whole: up to the next line that begins a record.
    fn prose(&self, at: usize, sink: &mut Sink<'a, '_>) -> usize {
        let bytes = self.bytes;
        let mut end = line_end(bytes, at);
        while end < bytes.len() && !matches!(bytes.get(skip(bytes, end, &[])), Some(b'{' | b'[') | None) {
            end = line_end(bytes, skip(bytes, end, &[]));
        }
        let text = trim_end(&bytes[at..end]);
        sink.reject(
            Reason::Syntax,
            "the text is neither JSON nor a CSV export with its header; nothing in it could be read",
            text,
        );
        end
    }

    /// Reads a list inside an object that is broken somewhere: its records one by one, then past
    /// the rest of the object. `start` is the index after the list's opening bracket.
    fn list(&mut self, open: usize, start: usize, sink: &mut Sink<'a, '_>) -> usize {
        let bytes = self.bytes;
        let mut at = start;
        let taken = sink.count();
        loop {
            at = skip(bytes, at, b",");
            match bytes.get(at) {
                None => {
                    if sink.count() == taken {
                        sink.position = self.base + open;
                        sink.reject(
                            Reason::Syntax,
                            "the list breaks off before its first record",
                            &bytes[open..],
                        );
                    }
                    return bytes.len();
                }
                Some(b']') => break,
                Some(_) => {
                    sink.position = self.base + at;
                    at = match self.whole(at) {
                        Some((read, end)) => {
                            shape::record(&self.text(at)[..end - at], Some(read), sink);
                            end
                        }
                        None => self.odd(at, sink),
                    };
                }
            }
        }
        // The rest of the envelope holds no records: a token, a count, the closing braces.
        let mut depth = braces(&bytes[open..start]);
        at += 1;
        while depth > 0 && at < bytes.len() {
            match bytes[at] {
                b'"' => match value_end(bytes, at, 1) {
                    Ok(end) => {
                        at = end;
                        continue;
                    }
                    Err(_) => return bytes.len(),
                },
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// The next place from which a whole object of a known shape can be read: after a line break,
    /// or after the end of another object.
    fn next_record(&mut self, from: usize, until: usize) -> Option<usize> {
        let bytes = self.bytes;
        let mut at = from;
        while at < until {
            at += memchr::memchr(b'{', &bytes[at..until])?;
            let before = bytes[from - 1..at].iter().rev().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b','));
            if matches!(before, Some(b'\n' | b'}' | b'[')) {
                if self.patience == 0 {
                    return None;
                }
                let mut cursor = Cursor::new(self.text(at), 0);
                let read = Read::of(&mut cursor);
                self.patience = self.patience.saturating_sub(cursor.at());
                if let Some(read) = read
                    && (read.own.is_audit()
                        || shape::is_known(&self.text(at)[..cursor.at()])
                        || bytes[..at].ends_with(b"\n"))
                {
                    return Some(at);
                }
            }
            at += 1;
        }
        None
    }
}

/// Where the list of records of an object starts, when the object opens with one.
fn list_inside(object: &[u8]) -> Option<usize> {
    const HEAD: usize = 4096;
    let head = &object[..object.len().min(HEAD)];
    ["\"decoratedAuditLogEntries\"", "\"records\"", "\"patTokens\"", "\"value\""].iter().find_map(|name| {
        let after = memmem::find(head, name.as_bytes())? + name.len();
        let colon = skip(object, after, &[]);
        let open = skip(object, colon + 1, &[]);
        // Records hold `value` lists of their own, but then after a line or a brace of other members.
        let plain = memchr::memchr(b'[', &head[..after]).is_none() && braces(&head[..after]) <= 4;
        (object.get(colon) == Some(&b':') && object.get(open) == Some(&b'[') && plain).then_some(open + 1)
    })
}

/// The index after the line that holds `at`.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |i| at + i + 1)
}

fn braces(bytes: &[u8]) -> usize {
    let count = |b| memchr::memchr_iter(b, bytes).count();
    count(b'{').saturating_sub(count(b'}'))
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end =
        bytes.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',')).map_or(0, |i| i + 1);
    &bytes[..end.max(1).min(bytes.len())]
}
