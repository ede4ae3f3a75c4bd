//! Where a reader wants to start, from the filter of its link.

use fe2o3_amqp_types::messaging::Source;
use fe2o3_amqp_types::primitives::Value;

const FILTER: &str = "apache.org:selector-filter:string";

/// The position that a filter asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the first event that is kept.
    Earliest,
    /// From the first event that comes after the attach.
    Latest,
    /// From an offset, itself included or not.
    Offset { value: i64, inclusive: bool },
    /// From a sequence number, itself included or not.
    Sequence { value: i64, inclusive: bool },
    /// From a time in milliseconds since 1970, itself included or not.
    Enqueued { value: i64, inclusive: bool },
}

/// The expression in a source's filter; a source without one has none.
pub fn expression(source: &Source) -> Option<&str> {
    let filter = source.filter.as_ref()?;
    let value = filter.iter().find(|(key, _)| key.as_str() == FILTER).map(|(_, value)| value)?;
    match value {
        Value::Described(described) => text(&described.value),
        other => text(other),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Symbol(symbol) => Some(symbol.as_str()),
        _ => None,
    }
}

impl Start {
    /// Reads `amqp.annotation.x-opt-... > '...'`; the service has no other grammar.
    pub fn parse(expression: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "read the filter `{expression}`: compare x-opt-offset, x-opt-sequence-number or \
                 x-opt-enqueued-time with > or >="
            )
        };
        let (name, rest) = expression.split_once('>').ok_or_else(wrong)?;
        let (inclusive, value) = match rest.strip_prefix('=') {
            Some(value) => (true, value),
            None => (false, rest),
        };
        let value = value.trim().strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).ok_or_else(wrong)?;
        let number = || value.parse::<i64>().map_err(|_| wrong());
        match name.trim().strip_prefix("amqp.annotation.").ok_or_else(wrong)? {
            "x-opt-offset" if value == "@latest" => Ok(Self::Latest),
            "x-opt-offset" if value == "-1" => Ok(Self::Earliest),
            "x-opt-offset" => Ok(Self::Offset { value: number()?, inclusive }),
            "x-opt-sequence-number" => Ok(Self::Sequence { value: number()?, inclusive }),
            "x-opt-enqueued-time" => Ok(Self::Enqueued { value: number()?, inclusive }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_all_clients_are_read() {
        let given = [
            ("amqp.annotation.x-opt-offset > '-1'", Start::Earliest),
            ("amqp.annotation.x-opt-offset > '@latest'", Start::Latest),
            ("amqp.annotation.x-opt-offset >'12'", Start::Offset { value: 12, inclusive: false }),
            ("amqp.annotation.x-opt-offset >= '12'", Start::Offset { value: 12, inclusive: true }),
            ("amqp.annotation.x-opt-sequence-number >'3'", Start::Sequence { value: 3, inclusive: false }),
            ("amqp.annotation.x-opt-sequence-number >='3'", Start::Sequence { value: 3, inclusive: true }),
            (
                "amqp.annotation.x-opt-enqueued-time >'1700000000000'",
                Start::Enqueued { value: 1_700_000_000_000, inclusive: false },
            ),
        ];
        for (text, start) in given {
            assert_eq!(Start::parse(text), Ok(start), "{text}");
        }
    }

    #[test]
    fn other_filters_are_refused() {
        for text in ["", "x", "amqp.annotation.x-opt-offset > 12", "amqp.annotation.x-opt-publisher > '1'"] {
            assert!(Start::parse(text).is_err(), "{text}");
        }
    }
}
