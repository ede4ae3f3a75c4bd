//! The few messages that are read and written field by field: wrappers of Flight SQL, and sessions.

use arrow_flight::sql::{Any, ProstMessageExt};
use bytes::Bytes;

/// The wire type of fields with a length.
const LENGTH: u64 = 2;

/// A number and what is behind it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (n, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f).checked_shl(n as u32 * 7)?;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[n + 1..]));
        }
    }
    None
}

/// A field of a message, and what is behind it.
struct Field<'a> {
    number: u64,
    /// Nothing, where it has no length.
    value: &'a [u8],
    rest: &'a [u8],
}

/// The first field of a message.
fn first(bytes: &[u8]) -> Option<Field<'_>> {
    let (tag, rest) = number(bytes)?;
    let (value, rest) = match tag & 7 {
        0 => (&[][..], number(rest)?.1),
        1 => (&[][..], rest.get(8..)?),
        5 => (&[][..], rest.get(4..)?),
        LENGTH => {
            let (length, rest) = number(rest)?;
            rest.split_at_checked(usize::try_from(length).ok()?)?
        }
        _ => return None,
    };
    Some(Field { number: tag >> 3, value, rest })
}

/// Every field of this number; one that has no length is empty.
pub(super) fn fields(mut bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(field) = first(bytes) {
        if field.number == wanted {
            found.push(field.value);
        }
        bytes = field.rest;
    }
    found
}

/// The last field of this number, as it counts where one is given twice; nothing is as good as empty.
pub(super) fn field(bytes: &[u8], wanted: u64) -> &[u8] {
    fields(bytes, wanted).pop().unwrap_or_default()
}

/// Appends a field that has a length.
pub(super) fn put(to: &mut Vec<u8>, number: u8, value: &[u8]) {
    to.push(number << 3 | LENGTH as u8);
    let mut length = value.len();
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(value);
}

/// A message with the name of its type.
pub(super) fn named(bytes: &[u8]) -> Any {
    let type_url = String::from_utf8_lossy(field(bytes, 1)).into_owned();
    Any { type_url, value: Bytes::copy_from_slice(field(bytes, 2)) }
}

/// The bytes of a message with the name of its type.
pub(super) fn with_name(message: &impl ProstMessageExt) -> Bytes {
    let Any { type_url, value } = message.as_any();
    let mut bytes = Vec::with_capacity(type_url.len() + value.len() + 8);
    put(&mut bytes, 1, type_url.as_bytes());
    put(&mut bytes, 2, &value);
    bytes.into()
}

/// The bytes of a message without it.
pub(super) fn alone(message: &impl ProstMessageExt) -> Bytes {
    message.as_any().value
}

/// The ticket of the first endpoint of a `FlightInfo`.
pub(super) fn ticket_of_info(info: &[u8]) -> &[u8] {
    let endpoint = fields(info, 3).first().copied().unwrap_or_default();
    field(field(endpoint, 1), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::sql::{Command, CommandStatementQuery, TicketStatementQuery};

    #[test]
    fn what_is_written_is_read_again() {
        let query = "select 1 -- ".repeat(40);
        let command = CommandStatementQuery { query, transaction_id: None };
        let read = Command::try_from(named(&with_name(&command))).unwrap();
        assert_eq!(read, Command::CommandStatementQuery(command));
        let ticket = TicketStatementQuery { statement_handle: Bytes::from_static(b"a handle") };
        let (mut inner, mut endpoint, mut info) = (Vec::new(), Vec::new(), Vec::new());
        put(&mut inner, 1, &with_name(&ticket));
        put(&mut endpoint, 1, &inner);
        put(&mut info, 1, b"schema");
        put(&mut info, 3, &endpoint);
        assert_eq!(ticket_of_info(&info), &with_name(&ticket)[..]);
    }

    #[test]
    fn garbage_is_no_message_and_no_panic() {
        for garbage in
            [&b""[..], b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff", b"\x0b\x00"]
        {
            assert_eq!(named(garbage).type_url, "");
            assert_eq!(ticket_of_info(garbage), b"");
        }
        assert_eq!(fields(b"\x08\x96\x01\x0a\x01x\x0a\x01y", 1), [&b""[..], b"x", b"y"]);
    }
}
