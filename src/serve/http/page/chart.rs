//! Pictures of counts: columns stacked by grade, and bars with their labels.

use std::collections::BTreeMap;

use super::html::{Html, html};

/// The grades from the surest to the least, as they are stacked.
const GRADES: [&str; 7] = ["exact", "sole", "run", "narrowed", "corroborated", "none", "not_agent"];

/// The inside of a picture; it is stretched to its place, so text is never inside.
pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 180.0;

/// How many actions of each grade.
pub(super) type Grades = BTreeMap<String, u64>;

/// Columns in the order of time, each stacked by grade.
pub(super) fn columns(title: &str, unit: &str, all: &[(String, Grades)]) -> Html {
    let most = all.iter().map(|(_, grades)| grades.values().sum::<u64>()).max().unwrap_or(0).max(1);
    let step = WIDTH / all.len().max(1) as f64;
    let wide = (step * 0.8).min(36.0);
    let mut columns = Html::default();
    for (n, (at, grades)) in all.iter().enumerate() {
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
                at,
                count,
                grade.replace('_', " ")
            ));
        }
    }
    let legend: Html = GRADES
        .into_iter()
        .filter_map(|grade| {
            let count: u64 = all.iter().filter_map(|(_, grades)| grades.get(grade)).sum();
            let entry = html!("<li>{} {}</li>", super::table::badge(grade), grouped(count));
            (count > 0).then_some(entry)
        })
        .collect();
    html!(
        "<figure class=\"chart\"><figcaption>{} <span class=\"most\">at most {} in {}</span></figcaption>{}\
         <ul class=\"legend\">{}</ul></figure>",
        title,
        grouped(most),
        unit,
        over_time(title, &columns, all.first().map(|(at, _)| at), all.last().map(|(at, _)| at)),
        legend
    )
}

/// A picture whose horizontal axis is time.
pub(super) fn over_time(title: &str, inside: &Html, first: Option<&String>, last: Option<&String>) -> Html {
    html!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"none\">{}</svg>\
         <p class=\"axis\"><span>{}</span><span>{}</span></p>",
        WIDTH,
        HEIGHT,
        title,
        inside,
        first.map_or("", String::as_str),
        last.filter(|last| Some(*last) != first).map_or("", String::as_str)
    )
}

/// Bars with their labels, one below the other; labels and numbers are text of the page.
pub(super) fn bars(title: &str, all: &[(String, f64)]) -> Html {
    let most = all.iter().map(|(_, value)| value.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let rows: Html = all
        .iter()
        .map(|(label, value)| {
            let label: String = label.chars().take(80).collect();
            html!(
                "<tr><th scope=\"row\">{}</th><td><svg viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                 <rect class=\"bar{}\" width=\"{}\" height=\"1\"/></svg></td><td class=\"n\">{}</td></tr>",
                label,
                if *value < 0.0 { " below" } else { "" },
                round(value.abs() / most * 100.0),
                round(*value)
            )
        })
        .collect();
    html!(
        "<figure class=\"bars\"><figcaption>{}</figcaption><table><caption class=\"hidden\">{}</caption>\
         <tbody>{}</tbody></table></figure>",
        title,
        title,
        rows
    )
}

pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A count with its thousands apart.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}
