//! Pictures over time: lines of numbers, and strips in which something was heard.

use super::chart::{HEIGHT, WIDTH, over_time, round};
use super::html::{Html, html};
use crate::model::Time;

/// Lines of one picture; their colours are told apart up to here.
pub(super) const MOST_LINES: usize = 6;
/// Strips of one picture.
const MOST_STRIPS: usize = 16;

/// A line: what it is, and its points in the order of time.
pub(super) struct Line {
    pub name: String,
    pub points: Vec<(Time, f64)>,
}

/// What was heard: what it is, and from when to when.
pub(super) struct Strip {
    pub name: String,
    pub spans: Vec<(Time, Time)>,
}

/// Lines over the same time; `says` puts a number into words.
pub(super) fn lines(title: &str, all: &[Line], says: fn(f64) -> String) -> Html {
    let points = || all.iter().flat_map(|line| &line.points);
    let Some((first, last)) = extent(points().map(|(at, _)| *at)) else { return Html::default() };
    let most = points().map(|(_, value)| *value).fold(0.0_f64, f64::max);
    let least = points().map(|(_, value)| *value).fold(0.0_f64, f64::min);
    let tall = (most - least).max(f64::MIN_POSITIVE);
    let top = |value: f64| round(HEIGHT - 2.0 - (value - least) / tall * (HEIGHT - 4.0));
    let mut inside = Html::default();
    for (n, line) in all.iter().take(MOST_LINES).enumerate() {
        let place = |(at, value): &(Time, f64)| format!("{},{}", across(*at, first, last), top(*value));
        let path: Vec<String> = line.points.iter().map(place).collect();
        // A line of one point is none: it is drawn from side to side.
        let path = match path.as_slice() {
            [_] => format!("0,{y} {WIDTH},{y}", y = top(line.points[0].1)),
            path => path.join(" "),
        };
        inside.push(html!(
            "<polyline class=\"l{}\" points=\"{}\"><title>{}</title></polyline>",
            n,
            path,
            line.name
        ));
    }
    let legend: Html = all
        .iter()
        .take(MOST_LINES)
        .enumerate()
        .map(|(n, line)| {
            let newest = line.points.last().map_or(String::new(), |(_, value)| says(*value));
            html!("<li><span class=\"key l{}\"></span>{} <b>{}</b></li>", n, line.name, newest)
        })
        .collect();
    html!(
        "<figure class=\"chart\"><figcaption>{} <span class=\"most\">at most {}</span></figcaption>{}<ul class=\"legend\">{}</ul></figure>",
        title,
        says(most),
        over_time(title, &inside, Some(&brief(first)), Some(&brief(last))),
        legend
    )
}

/// Strips below each other; a gap is a time in which nothing was heard.
pub(super) fn strips(title: &str, all: &[Strip]) -> Html {
    let ends = all.iter().flat_map(|strip| &strip.spans).flat_map(|(from, until)| [*from, *until]);
    let Some((first, last)) = extent(ends) else { return Html::default() };
    let rows: Html = all
        .iter()
        .take(MOST_STRIPS)
        .map(|strip| {
            let spans: Html = strip
                .spans
                .iter()
                .map(|(from, until)| {
                    let left = across(*from, first, last);
                    html!(
                        "<rect x=\"{}\" width=\"{}\" height=\"1\"><title>{} to {}</title></rect>",
                        left,
                        round((across(*until, first, last) - left).max(1.5)),
                        brief(*from),
                        brief(*until)
                    )
                })
                .collect();
            let says = wholeness(strip, last.0.saturating_sub(first.0));
            html!(
                "<tr><th scope=\"row\">{}</th><td><svg viewBox=\"0 0 {} 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{}</svg></td>\
                 <td class=\"n\">{}</td></tr>",
                strip.name,
                WIDTH,
                spans,
                says
            )
        })
        .collect();
    let rest = match all.len().saturating_sub(MOST_STRIPS) {
        0 => Html::default(),
        more => html!("<p class=\"more\">{} more are in the table below.</p>", more),
    };
    html!(
        "<figure class=\"bars strips\"><figcaption>{}</figcaption><table><caption class=\"hidden\">{}</caption><tbody>{}</tbody></table>\
         <p class=\"axis\"><span>{}</span><span>{}</span></p>{}</figure>",
        title,
        title,
        rows,
        brief(first),
        brief(last),
        rest
    )
}

/// How whole a strip is: lists are heard at moments, and silence between them is no gap.
fn wholeness(strip: &Strip, whole: i64) -> String {
    let heard: i64 = strip.spans.iter().map(|(from, until)| until.0.saturating_sub(from.0)).sum();
    match (strip.spans.len(), heard < whole / 50) {
        (1, true) => "once".to_owned(),
        (times, true) => format!("{times} times"),
        (1, false) => "whole".to_owned(),
        (2, false) => "1 gap".to_owned(),
        (spans, false) => format!("{} gaps", spans - 1),
    }
}

fn extent(times: impl Iterator<Item = Time>) -> Option<(Time, Time)> {
    times.fold(None, |own, at| {
        let (first, last) = own.unwrap_or((at, at));
        Some((first.min(at), last.max(at)))
    })
}

/// Where a time lies between the first and the last.
fn across(at: Time, first: Time, last: Time) -> f64 {
    let whole = last.0.saturating_sub(first.0).max(1) as f64;
    round(at.0.saturating_sub(first.0) as f64 / whole * WIDTH)
}

/// A time to the minute; at midnight the day alone.
fn brief(at: Time) -> String {
    let text = at.to_string();
    let (day, clock) = (text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default());
    if clock == "00:00" { day.to_owned() } else { format!("{day} {clock}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    #[test]
    fn pictures_keep_to_their_frame() {
        let days = ["2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z", "2026-03-09T12:30:00Z"];
        let points = days.map(at).into_iter().zip([1.0, -3.0, 1e300]).collect();
        let shown = lines("Lag", &[Line { name: "<b>".to_owned(), points }], |value| value.to_string());
        let shown = shown.into_string();
        assert!(
            shown.contains("2026-03-05<")
                && shown.contains("2026-03-09 12:30<")
                && shown.contains("&lt;b&gt;")
        );
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
        let spans = vec![(at(days[0]), at(days[1])), (at(days[2]), at(days[2]))];
        let shown = strips("Heard", &[Strip { name: "jobs".to_owned(), spans }]).into_string();
        assert!(shown.contains("1 gap") && shown.contains("x=\"720\""), "{shown}");
        assert!(strips("Heard", &[]).is_empty() && lines("Lag", &[], |_| String::new()).is_empty());
    }
}
