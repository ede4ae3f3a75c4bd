//! Pages of what can have millions of rows: some days of it, the last ones where no others are asked for.

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

/// How many days are shown where no others are asked for: the last ones with rows.
const DAYS: i32 = 3;

/// Days from the first on, before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    pub since: Date,
    pub until: Date,
}

impl Days {
    /// The days that an address asks for.
    fn asked(given: &Pairs) -> Result<Option<Days>, Problem> {
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
            (Some(since), None) => Some(Days { since, until: since.plus_days(DAYS) }),
            (None, Some(until)) => Some(Days { since: until.plus_days(-DAYS), until }),
            (Some(since), Some(until)) => Some(Days { since, until }),
        })
    }

    fn up_to(newest: Date) -> Days {
        let until = newest.plus_days(1);
        Days { since: until.plus_days(-DAYS), until }
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
        let moved = |days: i32| {
            let (since, until) = (self.since.plus_days(days), self.until.plus_days(days));
            address(path, &[("since", &since.to_string()), ("until", &until.to_string())])
        };
        html!(
            "<form class=\"ask\" action=\"{}\">{}{}<button>Show these days</button></form><p class=\"more\"><a href=\"{}\">Days before</a> <a href=\"{}\">Days after</a></p>",
            address(path, &[]),
            field("since", "Since", "day", self.since),
            field("until", "Until", "day, exclusive", self.until),
            moved(-many),
            moved(many)
        )
    }
}

/// What a page of some days shows.
pub(super) struct OfDays {
    /// None where none are asked for, nor have any rows.
    pub days: Option<Days>,
    pub asked: Vec<Part>,
    pub rows: Vec<Rows>,
    /// Whether anything of any day is known.
    has_any: bool,
}

impl OfDays {
    pub fn is_empty(&self) -> bool {
        !self.has_any && self.rows.iter().all(|rows| rows.rows.is_empty())
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

async fn of_days(
    session: &Session,
    newest: Ask,
    days: Option<Days>,
    asks: impl FnOnce(Days) -> Vec<Part>,
    turns: &Turns,
) -> Result<OfDays, QueryError> {
    let newest = newest.most(session, 1).await?;
    let newest = newest.rows.first().and_then(|row| Date::parse(&text(row, "day")));
    let days = days.or_else(|| newest.map(Days::up_to));
    let asked = asks(days.unwrap_or(Days { since: Date(0), until: Date(0) }));
    let rows = rows_of(session, &asked, turns).await?;
    Ok(OfDays { days, asked, rows, has_any: newest.is_some() })
}
