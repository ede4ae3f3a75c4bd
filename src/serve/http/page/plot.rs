//! A picture of rows that are a series: numbers over time, or numbers by name.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::ask::Rows;
use super::chart::{bars, grouped};
use super::html::{Html, html};
use super::table::text;
use super::timeline::{Line, MOST_LINES, lines};
use crate::model::Time;
use crate::query::Object;

/// Bars of one plot.
const MOST_BARS: usize = 40;

/// The picture, or nothing where the rows are no series.
pub(super) fn of(rows: &Rows) -> Html {
    if rows.rows.len() < 2 {
        return Html::default();
    }
    let inside = over_time(rows).or_else(|| by_name(rows)).unwrap_or_default();
    match inside.is_empty() {
        true => inside,
        false => html!("<section id=\"plot\"><h2>Plot</h2>{}</section>", inside),
    }
}

fn is_number(rows: &Rows, column: &str) -> bool {
    let values = || rows.rows.iter().filter_map(|row| row.get(column)).filter(|value| !value.is_null());
    values().next().is_some() && values().all(Json::is_number)
}

fn number(row: &Object, column: &str) -> Option<f64> {
    row.get(column)?.as_f64().filter(|value| value.is_finite())
}

/// Lines, where the first column is a time: one of each number, or of each name in the second column.
fn over_time(rows: &Rows) -> Option<Html> {
    let (at, rest) = rows.columns.split_first()?;
    let mut timed: Vec<(Time, &Object)> =
        rows.rows.iter().map(|row| Some((Time::parse(&text(row, at))?, row))).collect::<Option<_>>()?;
    timed.sort_by_key(|(at, _)| *at);
    let numbers: Vec<&String> = rest.iter().filter(|column| is_number(rows, column)).collect();
    let line = |name: &str, points: Vec<(Time, f64)>| Line { name: name.to_owned(), points };
    let all: Vec<Line> = match (rest, numbers.as_slice()) {
        ([name, value], [only]) if *only == value => {
            let mut series: BTreeMap<String, Vec<(Time, f64)>> = BTreeMap::new();
            for (at, row) in &timed {
                let Some(value) = number(row, value) else { continue };
                series.entry(text(row, name)).or_default().push((*at, value));
            }
            let mut all: Vec<Line> = series.into_iter().map(|(name, points)| line(&name, points)).collect();
            let whole = |line: &Line| line.points.iter().map(|(_, value)| *value).sum::<f64>();
            all.sort_by(|a, b| whole(b).total_cmp(&whole(a)));
            all
        }
        (_, numbers) if numbers.len() == rest.len() => numbers
            .iter()
            .map(|column| {
                let point = |(at, row): &(Time, &Object)| Some((*at, number(row, column)?));
                line(column, timed.iter().filter_map(point).collect())
            })
            .collect(),
        _ => return None,
    };
    let all: Vec<Line> = all.into_iter().filter(|line| !line.points.is_empty()).take(MOST_LINES).collect();
    let title = format!("{} over {at}", rest.last()?);
    (!all.is_empty()).then(|| lines(&title, &all, plain))
}

/// Bars, where the first column names and the second is a number.
fn by_name(rows: &Rows) -> Option<Html> {
    let [name, value] = rows.columns.as_slice() else { return None };
    if !is_number(rows, value) {
        return None;
    }
    let all: Vec<(String, f64)> = rows
        .rows
        .iter()
        .take(MOST_BARS)
        .filter_map(|row| Some((text(row, name), number(row, value)?)))
        .collect();
    let more = match rows.rows.len() > MOST_BARS {
        true => format!("{value} by {name}, the first {MOST_BARS} rows"),
        false => format!("{value} by {name}"),
    };
    (!all.is_empty()).then(|| bars(&more, &all))
}

fn plain(value: f64) -> String {
    match value {
        value if value >= 0.0 && value.fract() == 0.0 && value < 1e15 => grouped(value as u64),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(columns: &[&str], rows: Json) -> String {
        let rows = rows.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect();
        of(&Rows::of(columns, rows)).into_string()
    }

    #[test]
    fn series_are_plotted_and_other_rows_are_not() {
        let named = serde_json::json!([{ "a": "<x>", "n": 1 }, { "a": "y", "n": 3.5 }]);
        let shown = plot(&["a", "n"], named);
        assert!(shown.contains("&lt;x&gt;") && shown.matches("class=\"bar\"").count() == 2, "{shown}");
        let days = ["2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z"];
        let timed = serde_json::json!([{ "t": days[1], "g": "b", "n": 1 }, { "t": days[0], "g": "b", "n": 2 }, { "t": days[0], "g": "c", "n": 9 }]);
        let shown = plot(&["t", "g", "n"], timed);
        assert_eq!(shown.matches("<polyline").count(), 2, "{shown}");
        let both = serde_json::json!([{ "t": days[0], "n": 1, "m": null }, { "t": days[1], "n": 2, "m": 4 }]);
        assert_eq!(plot(&["t", "n", "m"], both).matches("<polyline").count(), 2);
        for (columns, rows) in [
            (&["a"][..], serde_json::json!([{ "a": 1 }, { "a": 2 }])),
            (&["a", "b"], serde_json::json!([{ "a": "x", "b": "y" }, { "a": "x", "b": 1 }])),
            (&["a", "b"], serde_json::json!([{ "a": "x", "b": 1 }])),
            (&["t", "b"], serde_json::json!([{ "t": days[0], "b": null }, { "t": days[1], "b": null }])),
        ] {
            assert_eq!(plot(columns, rows), "");
        }
    }
}
