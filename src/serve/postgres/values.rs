//! The values that a client binds, as the engine takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_pg::datatypes::df::deserialize_parameters;
use bytes::Bytes;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use pgwire::api::Type;
use pgwire::api::portal::{Format, Portal};
use pgwire::error::PgWireResult;
use pgwire::messages::extendedquery::Bind;

use super::refused::error;
use crate::query::with_seconds;

/// The values of a portal, for parameters of these types as far as they are known.
pub(super) fn values<S: Clone>(
    portal: &Portal<S>,
    types: &[Option<DataType>],
) -> PgWireResult<Vec<ScalarValue>> {
    let as_text = |n: usize| {
        let value = portal.parameters.get(n)?.as_ref().filter(|_| portal.parameter_format.is_text(n))?;
        std::str::from_utf8(value).ok()
    };
    let whole = |(n, value): (usize, &Option<Bytes>)| match as_text(n).and_then(with_seconds) {
        Some(text) if is_time(portal, types, n) => Some(Bytes::from(text)),
        _ => value.clone(),
    };
    let parameters = portal.parameters.iter().enumerate().map(whole).collect();
    let codes = match &portal.parameter_format {
        Format::UnifiedText => Vec::new(),
        Format::UnifiedBinary => vec![1],
        Format::Individual(codes) => codes.clone(),
    };
    let own =
        Portal::try_new(&Bind::new(None, None, codes, parameters, Vec::new()), portal.statement.clone())?;
    let types_told: Vec<Option<&DataType>> = types.iter().map(Option::as_ref).collect();
    // Some values that are cut off or too large make the decoder panic.
    let read = catch_unwind(AssertUnwindSafe(|| deserialize_parameters(&own, &types_told)));
    let read = read.unwrap_or_else(|_| {
        Err(error("22P03", "failed to read the values: one is not of the type that it is said to be"))
    })?;
    let mut values: Vec<ScalarValue> = match read {
        ParamValues::List(values) => values.into_iter().map(|value| value.value).collect(),
        ParamValues::Map(_) => Vec::new(),
    };
    for (n, value) in values.iter_mut().enumerate().filter(|(n, _)| is_texts(portal, types, *n)) {
        if let Some(text) = as_text(n) {
            let says = || error("22P02", format!("failed to read `{text}`: it is no list of one dimension"));
            let items: Vec<ScalarValue> =
                items(text).ok_or_else(says)?.into_iter().map(ScalarValue::Utf8).collect();
            *value = ScalarValue::List(ScalarValue::new_list_nullable(&items, &DataType::Utf8));
        }
    }
    Ok(values)
}

/// The type that a client says, or the statement.
fn said<S>(portal: &Portal<S>, n: usize) -> Option<&Type> {
    portal.statement.parameter_types.get(n)?.as_ref()
}

fn is_time<S>(portal: &Portal<S>, types: &[Option<DataType>], n: usize) -> bool {
    match said(portal, n) {
        Some(said) => matches!(*said, Type::TIMESTAMP | Type::TIMESTAMPTZ),
        None => matches!(types.get(n), Some(Some(DataType::Timestamp(..)))),
    }
}

fn is_texts<S>(portal: &Portal<S>, types: &[Option<DataType>], n: usize) -> bool {
    match (said(portal, n), types.get(n)) {
        (Some(said), _) => matches!(*said, Type::TEXT_ARRAY | Type::VARCHAR_ARRAY),
        (None, Some(Some(DataType::List(item)))) => *item.data_type() == DataType::Utf8,
        _ => false,
    }
}

/// The items of a list as PostgreSQL writes it: `{a,"b c",NULL}`. The decoder of the protocol takes what is
/// quoted for the same as what is not, so that an empty text would be a null.
///
/// Source: PostgreSQL 16 documentation, 8.15.6, "Array Input and Output Syntax".
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut letters = inner.chars();
    loop {
        let (mut item, mut bare, mut is_quoted, mut inside) = (String::new(), 0, false, false);
        let more = loop {
            let Some(letter) = letters.next() else { break false };
            match letter {
                '\\' => {
                    item.push(letters.next()?);
                    bare = item.len();
                }
                '"' => {
                    (is_quoted, inside) = (true, !inside);
                    bare = item.len();
                }
                ',' if !inside => break true,
                '{' | '}' if !inside => return None,
                letter if inside || !(letter.is_whitespace() && item.is_empty()) => item.push(letter),
                _ => {}
            }
        };
        if inside {
            return None;
        }
        // Blanks at the end are no part of it, unless they are quoted.
        item.truncate(bare.max(item.trim_end().len()));
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        if item.is_empty() && !is_quoted {
            return None;
        }
        items.push((!is_null).then_some(item));
        if !more {
            return Some(items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_items_that_postgresql_would_read() {
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("{}", Some(vec![])),
            ("{ a , b c ,\"d,e\" }", Some(vec![some("a"), some("b c"), some("d,e")])),
            ("{\"\",NULL,\"NULL\",null}", Some(vec![some(""), None, some("NULL"), None])),
            (
                r#"{"a\"b","c\\d","{}"," e "}"#,
                Some(vec![some("a\"b"), some("c\\d"), some("{}"), some(" e ")]),
            ),
            ("{a,,b}", None),
            ("{{a},{b}}", None),
            ("{\"a}", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(items(text), expected, "{text}");
        }
    }
}
