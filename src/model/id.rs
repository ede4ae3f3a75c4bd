//! Identifiers: GUIDs in every casing, REST audit ids, keys, and record hashes.

use std::borrow::Cow;
use std::fmt;

use super::Time;

/// The GUID that Azure DevOps writes where it means "none".
pub const ZERO_GUID: &str = "00000000-0000-0000-0000-000000000000";

/// An identifier in its one canonical spelling: a GUID in lower case, anything else as it came.
/// `None` for an empty text and for the zero GUID, which both mean "none".
pub fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let text = bare.filter(|bare| is_guid(bare)).unwrap_or(text);
    if text.is_empty() || text == ZERO_GUID {
        return None;
    }
    // Nearly every identifier is in lower case already, which is seen faster than that it is a GUID.
    if text.len() == 36 && text.bytes().any(|b| b.is_ascii_uppercase()) && is_guid(text) {
        return Some(Cow::Owned(text.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(text))
}

/// Whether the text is a GUID in its 36-character form, in any casing.
pub fn is_guid(text: &str) -> bool {
    guid_bits(text).is_some()
}

/// The text of a GUID of these bits, in lower case.
pub fn guid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The text of a GUID made of these random bits (RFC 9562, version 4).
pub fn random_guid(bits: u128) -> String {
    guid(bits & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62)
}

fn guid_bits(text: &str) -> Option<u128> {
    let b: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut bits = 0u128;
    for (i, c) in b.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if *c != b'-' {
                return None;
            }
            continue;
        }
        let nibble = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            b'A'..=b'F' => c - b'A' + 10,
            _ => return None,
        };
        bits = bits << 4 | u128::from(nibble);
    }
    Some(bits)
}

/// 128 bits that stand for an identifier: a GUID's own bits, else the head of the text's SHA-256.
/// What tables are deduplicated by and timelines are looked up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

impl Key {
    /// The key of an identifier; casing does not matter for a GUID.
    pub fn of(text: &str) -> Key {
        Key(guid_bits(text).unwrap_or_else(|| head(&RecordHash::of(text.as_bytes()))))
    }

    /// The key of a compound identifier. Parts are length-prefixed, so no two tuples meet.
    pub fn of_parts(parts: &[&str]) -> Key {
        let mut joined = Vec::with_capacity(parts.iter().map(|p| p.len() + 8).sum());
        for part in parts {
            joined.extend_from_slice(&(part.len() as u64).to_le_bytes());
            joined.extend_from_slice(part.as_bytes());
        }
        Key(head(&RecordHash::of(&joined)))
    }
}

fn head(hash: &RecordHash) -> u128 {
    let mut first = [0u8; 16];
    first.copy_from_slice(&hash.0[..16]);
    u128::from_be_bytes(first)
}

/// The SHA-256 of a record's raw bytes. Its text form is 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordHash(pub [u8; 32]);

impl RecordHash {
    pub fn of(bytes: &[u8]) -> RecordHash {
        use sha2::Digest as _;
        RecordHash(sha2::Sha256::digest(bytes).into())
    }

    /// Reads the 64 hex digits of a stored hash; `None` when the text is anything else.
    pub fn parse(hex: &str) -> Option<RecordHash> {
        let digits: &[u8; 64] = hex.as_bytes().try_into().ok()?;
        let mut out = RecordHash::default();
        for (byte, pair) in out.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(out)
    }

    /// The 64 hex digits without an allocation.
    pub fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0u8; 64];
        for (i, byte) in self.0.iter().enumerate() {
            out[2 * i] = DIGITS[usize::from(byte >> 4)];
            out[2 * i + 1] = DIGITS[usize::from(byte & 15)];
        }
        out
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

/// A REST or export audit id, taken apart: `{inverted ticks};{service instance};{event GUID}`.
/// Streams carry only the event GUID, so that part is the event's key whatever the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditId<'a> {
    /// When the event occurred, to 100 ns, where the id says so.
    pub occurred: Option<Time>,
    /// The service that raised the event, for example `00000064-0000-8888-8000-000000000000`.
    pub service: Option<Cow<'a, str>>,
    /// The event's GUID in lower case; an id that is no GUID stays as it came.
    pub event: Cow<'a, str>,
}

impl<'a> AuditId<'a> {
    /// Takes either form apart; `None` for an empty id.
    pub fn parse(text: &'a str) -> Option<AuditId<'a>> {
        let mut parts = text.splitn(3, ';');
        if let (Some(ticks), Some(service), Some(event)) = (parts.next(), parts.next(), parts.next())
            && let Ok(ticks) = ticks.trim().parse::<i64>()
            && let Some(event) = canonical(event)
        {
            return Some(AuditId {
                occurred: Time::from_inverted_ticks(ticks),
                service: canonical(service),
                event,
            });
        }
        Some(AuditId { occurred: None, service: None, event: canonical(text)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_has_one_key_in_all_its_spellings() {
        let rest = AuditId::parse(
            "2518505060978539161;00000064-0000-8888-8000-000000000000;86FBE369-3f5d-4f52-9ab0-3be7db271948",
        )
        .unwrap();
        let stream = AuditId::parse("86fbe369-3f5d-4f52-9ab0-3be7db271948").unwrap();
        assert_eq!(rest.event, stream.event);
        assert_eq!(Key::of(&rest.event), Key::of("86FBE369-3F5D-4F52-9AB0-3BE7DB271948"));
        assert_eq!(rest.occurred, Time::parse("2019-03-05T14:05:02.1460838Z"));
        assert_eq!(rest.service.as_deref(), Some("00000064-0000-8888-8000-000000000000"));
    }

    #[test]
    fn none_is_none_and_the_rest_is_kept() {
        assert_eq!(canonical(""), None);
        assert_eq!(canonical(ZERO_GUID), None);
        assert_eq!(canonical("xxx").as_deref(), Some("xxx"));
        assert_eq!(
            canonical("ABCDEF00-0000-0000-0000-00000000000A").as_deref(),
            Some("abcdef00-0000-0000-0000-00000000000a")
        );
        let bare = canonical("{abcdef00-0000-0000-0000-00000000000A}");
        assert_eq!(bare.as_deref(), Some("abcdef00-0000-0000-0000-00000000000a"));
        assert_eq!(canonical("{xxx}").as_deref(), Some("{xxx}"));
        assert_eq!(canonical(&format!("{{{ZERO_GUID}}}")), None);
        assert_eq!(guid(0xabcd_ef00_0000_0000_0000_0000_0000_000a), bare.unwrap());
        assert!(is_guid(&random_guid(u128::MAX)) && random_guid(u128::MAX).contains("-4fff-bfff-"));
        assert!(AuditId::parse(" ").is_none());
    }

    #[test]
    fn compound_keys_do_not_meet() {
        assert_ne!(Key::of_parts(&["ab", "c"]), Key::of_parts(&["a", "bc"]));
    }

    #[test]
    fn hashes_print_as_hex() {
        assert_eq!(
            RecordHash::of(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let hash = RecordHash::of(b"x");
        assert_eq!(RecordHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(RecordHash::parse("e3"), None);
    }
}
