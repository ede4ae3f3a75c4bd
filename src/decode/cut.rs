//! Where a long body can be cut between two records, so that it need not be held whole.

use super::{avro, export};

/// The length of the prefix of `bytes` that ends between two records of a stream or top-level
/// array; 0 when there is no such place (a page that is one object, a CSV export). `first` says
/// that `bytes` is the start of the body. The rest goes before what is read next.
pub fn cut(bytes: &[u8], first: bool) -> usize {
    if first && (export::is_csv(bytes) || avro::is_container(bytes)) {
        return 0;
    }
    // NDJSON: a line break outside of objects is followed by the next object.
    let head = memchr::memchr(b'\n', bytes).map(|end| &bytes[..end]);
    if let Some(line) = head
        && serde_json::from_slice::<&serde_json::value::RawValue>(line).is_ok()
        && line.trim_ascii_start().starts_with(b"{")
    {
        return memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    }
    let (mut depth, mut last, mut i) = (0usize, 0usize, 0usize);
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'"' => match string_end(bytes, i) {
                Some(end) => {
                    i = end;
                    continue;
                }
                None => break,
            },
            // An array that holds the records is no nesting.
            b'[' if depth == 0 => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    last = i + 1;
                }
            }
            _ => {}
        }
        i += 1;
    }
    last
}

/// The length of what a body begins with and its parts need to be read: the header line of a CSV export,
/// line break included, or the header of an Avro file; 0 for all else.
pub fn header_length(bytes: &[u8]) -> usize {
    if !export::is_csv(bytes) {
        return avro::header_length(bytes);
    }
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// The length of the prefix of `bytes`, which lie under a header or begin with it, that ends between two
/// CSV rows or blocks of an Avro file.
pub fn cut_under(header: &[u8], bytes: &[u8]) -> usize {
    let under = bytes.strip_prefix(header).unwrap_or(bytes);
    let cut = if avro::is_container(header) { avro::cut_blocks(header, under) } else { cut_rows(under) };
    bytes.len() - under.len() + cut
}

fn cut_rows(bytes: &[u8]) -> usize {
    let (mut quoted, mut last) = (false, 0);
    for at in memchr::memchr2_iter(b'"', b'\n', bytes) {
        match bytes[at] {
            b'"' => quoted = !quoted,
            _ if !quoted => last = at + 1,
            _ => {}
        }
    }
    last
}

/// Whether what follows the last cut is whole: a file may end in the middle of a record that is
/// still being written. `header` is what it lies under.
pub fn is_whole(header: &[u8], rest: &[u8]) -> bool {
    // A file of records says itself where it ends.
    if avro::is_container(header) || avro::is_container(rest) {
        return true;
    }
    let rest = rest.trim_ascii();
    let text = rest.strip_suffix(b"]").unwrap_or(rest).trim_ascii();
    [rest, text]
        .iter()
        .any(|r| r.is_empty() || serde_json::from_slice::<&serde_json::value::RawValue>(r).is_ok())
}

fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    loop {
        i += memchr::memchr2(b'"', b'\\', bytes.get(i..)?)?;
        match bytes[i] {
            b'"' => return Some(i + 1),
            _ => i += 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_records_only() {
        assert_eq!(cut(b"{\"a\":1}\n{\"b\":2}\n{\"c", true), 16);
        assert_eq!(cut(b"[{\"a\":1},\n {\"b\":\"}\"}, {\"c", true), 20);
        assert_eq!(cut(b"{\"value\":[{\"a\":1},{\"b", true), 0);
        assert_eq!(cut(b"{\"a\":{}}{\"b\":[1]}{", true), 17);
        assert_eq!(cut(b"Id,ActionId,Timestamp\n1,2,3\n", true), 0);
        let csv = b"\xef\xbb\xbfId,ActionId,Timestamp\n1,\"a\nb\",3\n4,\"5\n";
        assert_eq!((header_length(csv), cut_under(&csv[..25], csv)), (25, 35));
        assert_eq!(cut_under(&csv[..25], &csv[25..]), 10);
        assert_eq!(header_length(b"{\"a\":1}\n"), 0);
        assert!(
            is_whole(b"", b"{\"a\":1}")
                && is_whole(b"", b"  \n")
                && is_whole(b"", b"]")
                && is_whole(b"", b",{\"a\":1}\n]".trim_ascii_start().strip_prefix(b",").unwrap())
        );
        assert!(!is_whole(b"", b"{\"a\":"));
    }
}
