//! The session that drivers set options of: there is one catalogue and one schema to begin in.

use super::wire::{field, fields, put};
use crate::serve::described::{DATABASE, VIEWS};

/// What a session has; it can be set to nothing else.
const OPTIONS: [(&str, &str); 2] = [("catalog", DATABASE), ("schema", VIEWS)];
/// Why an option is not set: there is none of this name, or it has another value.
const NO_NAME: u8 = 1;
const NO_VALUE: u8 = 2;

/// `GetSessionOptionsResult`.
pub(super) fn options() -> Vec<u8> {
    let mut result = Vec::new();
    for (name, value) in OPTIONS {
        let mut text = Vec::new();
        put(&mut text, 1, value.as_bytes());
        entry(&mut result, name.as_bytes(), &text);
    }
    result
}

/// `SetSessionOptionsResult` of a `SetSessionOptionsRequest`: what was not set, and why.
pub(super) fn set(request: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    for asked in fields(request, 1) {
        let (name, value) = (field(asked, 1), field(field(asked, 2), 1));
        let wrong = match OPTIONS.iter().find(|(own, _)| own.as_bytes() == name) {
            Some((_, own)) if own.as_bytes() == value => continue,
            Some(_) => NO_VALUE,
            None => NO_NAME,
        };
        // An enumeration as the first field.
        entry(&mut result, name, &[1 << 3, wrong]);
    }
    result
}

/// Appends an entry of a map that is the first field.
fn entry(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let mut entry = Vec::new();
    put(&mut entry, 1, key);
    put(&mut entry, 2, value);
    put(to, 1, &entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_can_be_set_to_what_they_are_and_to_nothing_else() {
        // What is told has the form of what can be set.
        assert_eq!(set(&options()), b"");
        let mut request = Vec::new();
        entry(&mut request, b"catalog", b"\x0a\x05other");
        entry(&mut request, b"path", b"\x0a\x01x");
        let result = set(&request);
        let wrong: Vec<_> =
            fields(&result, 1).into_iter().map(|one| (field(one, 1), field(one, 2))).collect();
        assert_eq!(wrong, [(&b"catalog"[..], &b"\x08\x02"[..]), (b"path", b"\x08\x01")]);
    }
}
