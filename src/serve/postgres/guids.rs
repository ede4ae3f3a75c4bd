//! GUIDs that clients bind as such, put as the texts that they are in every table here.

use std::collections::HashMap;

use bytes::Bytes;
use pgwire::api::Type;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::extendedquery::TARGET_TYPE_BYTE_STATEMENT;

use crate::model::guid;

/// The parameters of the statements of one connection that are GUIDs to its client.
#[derive(Default)]
pub(super) struct Guids(HashMap<String, Vec<usize>>);

impl Guids {
    /// Makes texts of the GUIDs in a message.
    pub fn in_text(&mut self, message: &mut PgWireFrontendMessage) {
        match message {
            PgWireFrontendMessage::Parse(parse) => {
                let of = |(n, oid): (usize, &u32)| (*oid == Type::UUID.oid()).then_some(n);
                let found: Vec<usize> = parse.type_oids.iter().enumerate().filter_map(of).collect();
                found.iter().for_each(|n| parse.type_oids[*n] = Type::TEXT.oid());
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
                for n in places {
                    // One code stands for all; none says that all are text.
                    let codes = &bind.parameter_format_codes;
                    let code = if codes.len() == 1 { codes.first() } else { codes.get(*n) };
                    let is_binary = code.is_some_and(|code| *code == 1);
                    if let Some(Some(value)) = bind.parameters.get_mut(*n)
                        && is_binary
                        && let Ok(bits) = <[u8; 16]>::try_from(value.as_ref())
                    {
                        // A text is the same bytes in both forms.
                        *value = Bytes::from(guid(u128::from_be_bytes(bits)));
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

    #[test]
    fn a_guid_is_a_text_in_either_form_and_what_is_none_stays() {
        const TEXT: &str = "0a1b2c3d-0000-4000-8000-00000000ffff";
        let binary = Bytes::from(0x0a1b_2c3d_0000_4000_8000_0000_0000_ffff_u128.to_be_bytes().to_vec());
        let mut guids = Guids::default();
        let types = vec![Type::INT8.oid(), Type::UUID.oid()];
        let mut parse = PgWireFrontendMessage::Parse(Parse::new(None, "select".to_owned(), types));
        guids.in_text(&mut parse);
        let PgWireFrontendMessage::Parse(parse) = parse else { unreachable!() };
        assert_eq!(parse.type_oids, [Type::INT8.oid(), Type::TEXT.oid()]);
        let mut bound = |codes: &[i16], value: &Bytes| {
            let values = vec![Some(binary.clone()), Some(value.clone())];
            let mut bind =
                PgWireFrontendMessage::Bind(Bind::new(None, None, codes.to_vec(), values, Vec::new()));
            guids.in_text(&mut bind);
            let PgWireFrontendMessage::Bind(bind) = bind else { unreachable!() };
            assert_eq!(bind.parameters[0], Some(binary.clone()));
            bind.parameters[1].clone().unwrap()
        };
        for codes in [&[1][..], &[0, 1]] {
            assert_eq!(bound(codes, &binary), TEXT);
        }
        for codes in [&[][..], &[0], &[1, 0]] {
            assert_eq!(bound(codes, &Bytes::from_static(TEXT.as_bytes())), TEXT);
        }
    }
}
