//! What a file holds of a column: computed when it is written, kept in the log.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use serde_json::{Map, Value as Json, json};

use crate::model::Time;
use crate::schema::{ColumnRange, Kind, Table, Value};

/// Longer texts get no bounds: they would fill the log.
const LONGEST: usize = 128;

/// The ranges of a batch's columns that have statistics.
pub(super) fn ranges(table: &Table, batch: &RecordBatch) -> Vec<ColumnRange> {
    table
        .stats
        .iter()
        .filter_map(|name| {
            let (index, column) = table.column(name)?;
            let array = batch.column(index);
            let (min, max) = match column.kind {
                Kind::Text => {
                    let array = array.as_string::<i32>();
                    let short =
                        |v: Option<&str>| v.filter(|v| v.len() <= LONGEST).map(|v| Value::Text(v.to_owned()));
                    (short(compute::min_string(array)), short(compute::max_string(array)))
                }
                Kind::Bigint => {
                    let array = array.as_primitive::<Int64Type>();
                    (compute::min(array).map(Value::Bigint), compute::max(array).map(Value::Bigint))
                }
                Kind::Timestamp => {
                    let array = array.as_primitive::<TimestampMicrosecondType>();
                    (compute::min(array).map(Value::Timestamp), compute::max(array).map(Value::Timestamp))
                }
                _ => (None, None),
            };
            Some(ColumnRange { column: index, min, max, nulls: Some(array.null_count() as u64) })
        })
        .collect()
}

/// The statistics as the Delta log keeps them: JSON text, times in milliseconds, never narrower.
pub(super) fn to_json(table: &Table, rows: u64, ranges: &[ColumnRange]) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    for range in ranges {
        let name = &table.columns[range.column].name;
        if let Some(value) = &range.min {
            min.insert(name.clone(), bound(value, false));
        }
        if let Some(value) = &range.max {
            max.insert(name.clone(), bound(value, true));
        }
        if let Some(n) = range.nulls {
            nulls.insert(name.clone(), n.into());
        }
    }
    json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls}).to_string()
}

fn bound(value: &Value, upper: bool) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Bigint(n) => (*n).into(),
        Value::Boolean(b) => (*b).into(),
        Value::Timestamp(micros) => {
            let millis = micros.div_euclid(1000) + i64::from(upper && micros.rem_euclid(1000) != 0);
            let text = Time::from_unix_millis(millis).to_string();
            // Milliseconds are what Delta's readers expect: cut the digits that are zero anyway.
            let cut = text.find('.').map_or(text.len() - 1, |dot| dot);
            format!("{}.{:03}Z", &text[..cut], millis.rem_euclid(1000)).into()
        }
    }
}

/// Rows and ranges of a file as a log entry states them.
pub(super) fn from_json(table: &Table, text: &str) -> (Option<u64>, Vec<ColumnRange>) {
    let Ok(stats) = serde_json::from_str::<Json>(text) else { return (None, Vec::new()) };
    let value = |side: &str, name: &str, kind: &Kind| {
        let value = stats.get(side)?.get(name)?;
        match kind {
            Kind::Text => Some(Value::Text(value.as_str()?.to_owned())),
            Kind::Bigint => value.as_i64().map(Value::Bigint),
            Kind::Boolean => value.as_bool().map(Value::Boolean),
            Kind::Timestamp => Time::parse(value.as_str()?).map(|t| Value::Timestamp(t.unix_micros())),
            _ => None,
        }
    };
    let ranges = table
        .columns
        .iter()
        .enumerate()
        .filter_map(|(column, c)| {
            let nulls = stats.get("nullCount").and_then(|n| n.get(&c.name)).and_then(Json::as_u64);
            let (min, max) = (value("minValues", &c.name, &c.kind), value("maxValues", &c.name, &c.kind));
            // Other writers cut times to milliseconds, downwards on both sides.
            let max = match max {
                Some(Value::Timestamp(micros)) if micros % 1000 == 0 => Some(Value::Timestamp(micros + 999)),
                max => max,
            };
            (nulls.is_some() || min.is_some() || max.is_some()).then_some(ColumnRange {
                column,
                min,
                max,
                nulls,
            })
        })
        .collect();
    (stats.get("numRecords").and_then(Json::as_u64), ranges)
}
