//! Values that clients bind as GUIDs or JSON, put as the texts that both are in every table here.

use std::collections::HashMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use pgwire::api::Type;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::extendedquery::TARGET_TYPE_BYTE_STATEMENT;

use crate::model::guid;

/// The parameters of the statements of one connection that are no texts to its client, by place.
#[derive(Default)]
pub(super) struct Texts(HashMap<String, Vec<(usize, Kind)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Guid,
    Guids,
    Json,
    Jsonb,
}

impl Kind {
    fn of(oid: u32) -> Option<Kind> {
        match Type::from_oid(oid)? {
            Type::UUID => Some(Kind::Guid),
            Type::UUID_ARRAY => Some(Kind::Guids),
            Type::JSON => Some(Kind::Json),
            Type::JSONB => Some(Kind::Jsonb),
            _ => None,
        }
    }

    fn as_told(self) -> Type {
        if self == Kind::Guids { Type::TEXT_ARRAY } else { Type::TEXT }
    }

    /// A value in text form as it is written here; `None` if it is none of this kind.
    fn written(self, value: &Bytes) -> Option<Bytes> {
        let text = std::str::from_utf8(value).ok()?;
        match self {
            Kind::Guid => Some(Bytes::from(plain(text)?)),
            Kind::Guids => {
                let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
                let one = |item: &str| {
                    let item = item.trim().trim_matches('"');
                    if item.eq_ignore_ascii_case("null") { Some("NULL".to_owned()) } else { plain(item) }
                };
                let items = if inner.trim().is_empty() {
                    Some(Vec::new())
                } else {
                    inner.split(',').map(one).collect()
                };
                Some(Bytes::from(format!("{{{}}}", items?.join(","))))
            }
            Kind::Json | Kind::Jsonb => None,
        }
    }

    /// A value in binary form as a text, or a list of texts, in binary form; `None` if it is none of this kind.
    fn text(self, value: &Bytes) -> Option<Bytes> {
        match self {
            Kind::Guid => Some(Bytes::from(guid_of(value)?)),
            Kind::Guids => list(value.clone()),
            Kind::Json => Some(value.clone()),
            // Behind the version of the form.
            Kind::Jsonb => (value.first() == Some(&1)).then(|| value.slice(1..)),
        }
    }
}

/// A GUID as it is written here, whatever its case, hyphens and braces.
fn plain(text: &str) -> Option<String> {
    let digits: String = text.trim_matches(['{', '}']).chars().filter(|c| *c != '-').collect();
    let is_one = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    Some(guid(u128::from_str_radix(&digits, 16).ok().filter(|_| is_one)?))
}

fn guid_of(bits: &[u8]) -> Option<String> {
    Some(guid(u128::from_be_bytes(bits.try_into().ok()?)))
}

/// A list of GUIDs as one of texts: dimensions, whether there are nulls, the type, and of each dimension its
/// length and lower bound stand before the values, each with its length.
fn list(mut value: Bytes) -> Option<Bytes> {
    let mut out = BytesMut::new();
    let dimensions = value.try_get_i32().ok()?;
    out.put_i32(dimensions);
    out.put_i32(value.try_get_i32().ok()?);
    value.try_get_u32().ok()?;
    out.put_u32(Type::TEXT.oid());
    for _ in 0..dimensions.checked_mul(2)? {
        out.put_i32(value.try_get_i32().ok()?);
    }
    while value.has_remaining() {
        let length = value.try_get_i32().ok()?;
        let Ok(length) = usize::try_from(length) else {
            out.put_i32(-1);
            continue;
        };
        let text = guid_of(value.get(..length)?)?;
        value.advance(length);
        out.put_i32(i32::try_from(text.len()).ok()?);
        out.put_slice(text.as_bytes());
    }
    Some(out.freeze())
}

impl Texts {
    /// Makes texts of the values in a message.
    pub fn put(&mut self, message: &mut PgWireFrontendMessage) {
        match message {
            PgWireFrontendMessage::Parse(parse) => {
                let of = |(n, oid): (usize, &u32)| Some((n, Kind::of(*oid)?));
                let found: Vec<(usize, Kind)> = parse.type_oids.iter().enumerate().filter_map(of).collect();
                found.iter().for_each(|(n, kind)| parse.type_oids[*n] = kind.as_told().oid());
                let name = parse.name.clone().unwrap_or_default();
                if found.is_empty() {
                    self.0.remove(&name);
                } else {
                    self.0.insert(name, found);
                }
            }
            PgWireFrontendMessage::Bind(bind) => {
                let name = bind.statement_name.as_deref().unwrap_or_default();
                let Some(places) = self.0.get(name) else { return };
                for (n, kind) in places {
                    // One code stands for all; none says that all are text.
                    let codes = &bind.parameter_format_codes;
                    let code = if codes.len() == 1 { codes.first() } else { codes.get(*n) };
                    let is_binary = code.is_some_and(|code| *code == 1);
                    if let Some(Some(value)) = bind.parameters.get_mut(*n)
                        && let Some(text) = if is_binary { kind.text(value) } else { kind.written(value) }
                    {
                        // A text is the same bytes in both forms.
                        *value = text;
                    }
                }
            }
            PgWireFrontendMessage::Close(close) if close.target_type == TARGET_TYPE_BYTE_STATEMENT => {
                self.0.remove(close.name.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use pgwire::messages::extendedquery::{Bind, Parse};

    use super::*;

    const TEXT: &str = "0a1b2c3d-0000-4000-8000-00000000ffff";
    const BITS: u128 = 0x0a1b_2c3d_0000_4000_8000_0000_0000_ffff;

    /// What is bound to the second of two parameters of these types, in these formats.
    fn bound(kind: &Type, codes: &[i16], value: &[u8]) -> (u32, Bytes) {
        let mut texts = Texts::default();
        let types = vec![Type::INT8.oid(), kind.oid()];
        let mut parse = PgWireFrontendMessage::Parse(Parse::new(None, "select".to_owned(), types));
        texts.put(&mut parse);
        let PgWireFrontendMessage::Parse(parse) = parse else { unreachable!() };
        assert_eq!(parse.type_oids[0], Type::INT8.oid());
        let other = Bytes::from_static(&[7; 16]);
        let values = vec![Some(other.clone()), Some(Bytes::copy_from_slice(value))];
        let mut bind = PgWireFrontendMessage::Bind(Bind::new(None, None, codes.to_vec(), values, Vec::new()));
        texts.put(&mut bind);
        let PgWireFrontendMessage::Bind(bind) = bind else { unreachable!() };
        assert_eq!(bind.parameters[0], Some(other));
        (parse.type_oids[1], bind.parameters[1].clone().unwrap())
    }

    #[test]
    fn a_guid_is_a_text_in_either_form_and_what_is_none_stays() {
        let told = |bytes: &[u8]| (Type::TEXT.oid(), Bytes::copy_from_slice(bytes));
        for codes in [&[1][..], &[0, 1]] {
            assert_eq!(bound(&Type::UUID, codes, &BITS.to_be_bytes()), told(TEXT.as_bytes()));
            assert_eq!(bound(&Type::UUID, codes, b"short"), told(b"short"));
        }
        for codes in [&[][..], &[0], &[1, 0]] {
            for text in [TEXT, &TEXT.to_uppercase(), &TEXT.replace('-', ""), &format!("{{{TEXT}}}")] {
                assert_eq!(bound(&Type::UUID, codes, text.as_bytes()), told(TEXT.as_bytes()), "{text}");
            }
            assert_eq!(bound(&Type::UUID, codes, b"none"), told(b"none"));
            let list = format!("{{{},NULL,\"{TEXT}\"}}", TEXT.to_uppercase());
            let expected = format!("{{{TEXT},NULL,{TEXT}}}");
            assert_eq!(bound(&Type::UUID_ARRAY, codes, list.as_bytes()).1, expected.as_bytes());
        }
        assert_eq!(bound(&Type::JSON, &[1], b"{}"), told(b"{}"));
        assert_eq!(bound(&Type::JSONB, &[1], b"\x01{}"), told(b"{}"));
        assert_eq!(bound(&Type::JSONB, &[0], b"{}"), told(b"{}"));
    }

    #[test]
    fn a_list_of_guids_is_a_list_of_texts_and_what_is_cut_off_stays() {
        let mut own = BytesMut::new();
        [1, 1].iter().for_each(|n| own.put_i32(*n));
        own.put_u32(Type::UUID.oid());
        [2, 1, 16].iter().for_each(|n| own.put_i32(*n));
        own.put_u128(BITS);
        own.put_i32(-1);
        let mut expected = BytesMut::new();
        [1, 1].iter().for_each(|n| expected.put_i32(*n));
        expected.put_u32(Type::TEXT.oid());
        [2, 1, 36].iter().for_each(|n| expected.put_i32(*n));
        expected.put_slice(TEXT.as_bytes());
        expected.put_i32(-1);
        assert_eq!(bound(&Type::UUID_ARRAY, &[1], &own), (Type::TEXT_ARRAY.oid(), expected.freeze()));
        for end in 0..own.len() - 4 {
            if end != 20 {
                assert_eq!(bound(&Type::UUID_ARRAY, &[1], &own[..end]).1, own[..end], "{end}");
            }
        }
    }
}
