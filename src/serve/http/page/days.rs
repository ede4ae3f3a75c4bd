//! Pages of what can have millions of rows: some days of it, up to the newest with any where no others are asked for.

use std::ops::RangeInclusive;

use super::ask::{Ask, Rows};
use super::html::{Html, address, html};
use super::parts::{Part, rows_of};
use super::table::text;
use super::turns::Turns;
use super::{DOOR, Failed};
use crate::model::Date;
use crate::query::{QueryError, Session};
use crate::serve::http::Desk;
use crate::serve::http::problem::Problem;
use crate::serve::http::question::Pairs;
use crate::serve::http::sign_in::Signed;

/// How many days are shown where no others are asked for: up to the newest with rows.
const DAYS: i32 = 3;

/// The days that four digits of a year can write.
const WRITTEN: RangeInclusive<Date> = Date(-719_162)..=Date(2_932_896);

/// Days from the first on, before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    pub since: Date,
    pub until: Date,
}

impl Days {
    /// The days that an address asks for.
    pub fn asked(given: &Pairs) -> Result<Option<Days>, Problem> {
        let day = |name: &str| {
            let own = given.iter().rev().find(|(own, text)| own == name && !text.is_empty());
            let parsed = own.map(|(_, text)| {
                Date::parse(text).ok_or_else(|| {
                    Problem::bad(format!("understand `{text}` as a day; write it as 2026-03-05"))
                })
            });
            parsed.transpose()
        };
        Ok(match (day("since")?, day("until")?) {
            (None, None) => None,
            (Some(since), None) => Some(Days { since, until: moved(since, DAYS) }),
            (None, Some(until)) => Some(Days { since: moved(until, -DAYS), until }),
            (Some(since), Some(until)) => Some(Days { since, until }),
        })
    }

    fn up_to(newest: Date) -> Days {
        let until = moved(newest, 1);
        Days { since: moved(until, -DAYS), until }
    }

    /// The form in which other days of a page are asked for, and the links to those before and after.
    pub fn form(self, path: &[&str]) -> Html {
        let field = |name: &str, title: &str, says: &str, day: Date| {
            html!(
                "<div><label for=\"{}\">{} <small>{}</small></label><input id=\"{}\" name=\"{}\" type=\"date\" value=\"{}\"></div>",
                name,
                title,
                says,
                name,
                name,
                day.to_string()
            )
        };
        let many = (self.until.0 - self.since.0).max(1);
        let others = |days: i32| {
            let (since, until) = (moved(self.since, days), moved(self.until, days));
            address(path, &[("since", &since.to_string()), ("until", &until.to_string())])
        };
        html!(
            "<form class=\"ask\" action=\"{}\">{}{}<button>Show these days</button></form><p class=\"more\"><a href=\"{}\">Days before</a> <a href=\"{}\">Days after</a></p>",
            address(path, &[]),
            field("since", "Since", "day", self.since),
            field("until", "Until", "day, exclusive", self.until),
            others(-many),
            others(many)
        )
    }
}

fn moved(day: Date, days: i32) -> Date {
    day.plus_days(days).clamp(*WRITTEN.start(), *WRITTEN.end())
}

/// What a page of some days shows.
pub(super) struct OfDays {
    /// None where none are asked for, nor have any rows.
    pub days: Option<Days>,
    pub asked: Vec<Part>,
    pub rows: Vec<Rows>,
    /// What was said of the newest day.
    pub newest: Rows,
}

impl OfDays {
    pub fn is_empty(&self) -> bool {
        newest_day(&self.newest).is_none() && self.rows.iter().all(|rows| rows.rows.is_empty())
    }

    pub fn form(&self, path: &[&str]) -> Html {
        self.days.map(|days| days.form(path)).unwrap_or_default()
    }
}

/// The rows of parts of the days that the address asks for; `newest` asks for the newest `day` of which there is
/// something, and `text` is what the log of queries says of the page.
pub(super) async fn seen(
    desk: &Desk,
    signed: &Signed,
    text: String,
    newest: Ask,
    asks: impl FnOnce(Days) -> Vec<Part> + Send + 'static,
    turns: &Turns,
) -> Result<OfDays, Failed> {
    let (days, turns) = (Days::asked(&turns.given())?, turns.clone());
    let work = async move |session| of_days(&session, newest, days, asks, &turns).await;
    Ok(desk.work(signed, DOOR, text, work).await?)
}

/// The rows of parts of these days, or else of those up to the newest.
pub(super) async fn of_days(
    session: &Session,
    newest: Ask,
    days: Option<Days>,
    asks: impl FnOnce(Days) -> Vec<Part>,
    turns: &Turns,
) -> Result<OfDays, QueryError> {
    let newest = newest.most(session, 1).await?;
    let days = days.or_else(|| newest_day(&newest).map(Days::up_to));
    let asked = asks(days.unwrap_or(Days { since: Date(0), until: Date(0) }));
    let rows = rows_of(session, &asked, turns).await?;
    Ok(OfDays { days, asked, rows, newest })
}

/// The `day` of an answer.
pub(super) fn newest_day(newest: &Rows) -> Option<Date> {
    Date::parse(&text(newest.rows.first()?, "day"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stay_where_they_can_be_written() {
        let of = |pairs: &[(&str, &str)]| {
            let given: Pairs =
                pairs.iter().map(|(name, day)| ((*name).to_owned(), (*day).to_owned())).collect();
            let days = Days::asked(&given).map_err(|_| ()).unwrap();
            days.map(|days| (days.since.to_string(), days.until.to_string()))
        };
        let days = |since: &str, until: &str| Some((since.to_owned(), until.to_owned()));
        assert_eq!(of(&[("since", ""), ("until", "")]), None);
        assert_eq!(of(&[("since", "2026-03-05")]), days("2026-03-05", "2026-03-08"));
        assert_eq!(of(&[("until", "2026-03-01")]), days("2026-02-26", "2026-03-01"));
        assert_eq!(of(&[("since", "9999-12-30")]), days("9999-12-30", "9999-12-31"));
        assert_eq!(of(&[("until", "0001-01-02")]), days("0001-01-01", "0001-01-02"));
        assert!(Days::asked(&vec![("since".to_owned(), "yesterday".to_owned())]).is_err());
    }
}
