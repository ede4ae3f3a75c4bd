//! Pictures of numbers as inline SVG: stacked columns by day, and bars.

use std::collections::BTreeMap;

use super::html::{Html, html};

/// The grades from the surest to the least, as they are stacked.
const GRADES: [&str; 7] = ["exact", "sole", "run", "narrowed", "corroborated", "none", "not_agent"];

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// Columns by day, each stacked by grade.
pub(super) fn by_day(title: &str, days: &BTreeMap<String, BTreeMap<String, u64>>) -> Html {
    let most = days.values().map(|grades| grades.values().sum::<u64>()).max().unwrap_or(0).max(1);
    let step = WIDTH / days.len().max(1) as f64;
    let wide = (step * 0.78).min(40.0);
    let mut columns = Html::default();
    for (n, (day, grades)) in days.iter().enumerate() {
        let mut top = HEIGHT;
        for grade in GRADES {
            let count = grades.get(grade).copied().unwrap_or(0);
            if count == 0 {
                continue;
            }
            let tall = count as f64 / most as f64 * HEIGHT;
            top -= tall;
            columns.push(html!(
                "<rect class=\"g-{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: {} {}</title></rect>",
                grade,
                round(n as f64 * step + (step - wide) / 2.0),
                round(top),
                round(wide),
                round(tall),
                day,
                count,
                grade.replace('_', " ")
            ));
        }
    }
    let (first, last) = (days.keys().next().cloned(), days.keys().next_back().cloned());
    let legend: Html = GRADES
        .into_iter()
        .filter(|grade| days.values().any(|grades| grades.contains_key(*grade)))
        .map(super::table::badge)
        .collect();
    html!(
        "<figure class=\"chart\"><figcaption>{}; the tallest day has {}</figcaption>\
         <svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"none\">{}</svg>\
         <p class=\"axis\"><span>{}</span><span>{}</span></p><p class=\"legend\">{}</p></figure>",
        title,
        most,
        WIDTH,
        HEIGHT,
        title,
        columns,
        first.unwrap_or_default(),
        last.unwrap_or_default(),
        legend
    )
}

/// Bars with their labels, one below the other.
pub(super) fn bars(title: &str, all: &[(String, f64)]) -> Html {
    const ROW: f64 = 24.0;
    const LABEL: f64 = 240.0;
    let most = all.iter().map(|(_, value)| value.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let rows: Html = all
        .iter()
        .enumerate()
        .map(|(n, (label, value))| {
            let top = n as f64 * ROW;
            let label: String = label.chars().take(34).collect();
            html!(
                "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text><rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"14\" rx=\"2\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                LABEL - 10.0,
                round(top + 16.0),
                label,
                LABEL,
                round(top + 5.0),
                round(value.abs() / most * 400.0),
                round(LABEL + 8.0 + value.abs() / most * 400.0),
                round(top + 16.0),
                round(*value)
            )
        })
        .collect();
    html!(
        "<figure class=\"bars\"><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}</svg></figure>",
        title,
        WIDTH,
        round(all.len() as f64 * ROW + 4.0),
        title,
        rows
    )
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
