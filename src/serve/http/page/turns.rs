//! Turning through long tables: where each begins is part of the address, so a page of it can be kept and sent.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::ask::Rows;
use super::html::{Html, html};
use crate::serve::http::api::pairs;
use crate::serve::http::question::Pairs;

/// Rows that a page skips at most: each is worked out again. What lies beyond is for the download.
const MOST_SKIPPED: usize = 100_000;

/// The address of a page, and where its tables begin in it: `from.NAME`.
///
/// A table is ordered to the last row by what its query says, so the same address shows the same rows as long
/// as nothing new comes before them.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    path: String,
    pairs: Pairs,
}

impl<S: Sync> FromRequestParts<S> for Turns {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Turns, Infallible> {
        let pairs = pairs(parts.uri.query().map(str::to_owned));
        Ok(Turns { path: parts.uri.path().to_owned(), pairs })
    }
}

impl Turns {
    /// What else the address asks for.
    pub fn given(&self) -> Pairs {
        self.pairs.iter().filter(|(name, _)| !name.starts_with("from.")).cloned().collect()
    }

    /// How many rows of a table are skipped.
    pub fn at(&self, name: &str) -> usize {
        let own = self.pairs.iter().find(|(key, _)| key.strip_prefix("from.") == Some(name));
        let from = own.and_then(|(_, from)| from.parse::<usize>().ok()).unwrap_or(0);
        from.min(MOST_SKIPPED)
    }

    /// The same page with a table from another row on.
    fn to(&self, name: &str, from: usize) -> String {
        let key = format!("from.{name}");
        let kept = self.pairs.iter().filter(|(own, _)| *own != key);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept.map(|(name, value)| (name.as_str(), value.as_str())));
        if from > 0 {
            query.append_pair(&key, &from.to_string());
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}#{name}", self.path)
    }

    /// The links to the rows before and after those that are shown; nothing where these are all.
    pub fn links(&self, name: &str, title: &str, rows: &Rows) -> Html {
        // A table that is only the newest rows of something has no pages.
        if self.path.is_empty() {
            return Html::default();
        }
        let after = rows.from + rows.rows.len();
        let mut links = Html::default();
        if rows.from > 0 {
            let before = rows.from.saturating_sub(rows.most);
            links.push(html!(
                "<a rel=\"prev\" href=\"{}\" aria-label=\"{}: previous rows\">Previous</a>",
                self.to(name, before),
                title
            ));
        }
        if rows.more && after <= MOST_SKIPPED {
            links.push(html!(
                "<a rel=\"next\" href=\"{}\" aria-label=\"{}: next rows\">Next</a>",
                self.to(name, after),
                title
            ));
        }
        let end = match rows.more && after > MOST_SKIPPED {
            true => html!("<span>Pages end here; the downloads have all rows.</span>"),
            false => Html::default(),
        };
        match links.is_empty() && end.is_empty() {
            true => links,
            false => html!("<p class=\"turns\">{}{}</p>", links, end),
        }
    }

    /// Where a table begins.
    pub fn first(&self, name: &str) -> String {
        self.to(name, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_what_else_the_address_says() {
        let of = |query: &str| Turns { path: "/a%2Fb".to_owned(), pairs: pairs(Some(query.to_owned())) };
        let turns = of("q=x%26y&from.jobs=50&from.actions=100");
        assert_eq!((turns.at("jobs"), turns.at("actions"), turns.at("other")), (50, 100, 0));
        assert_eq!(turns.to("jobs", 100), "/a%2Fb?q=x%26y&from.actions=100&from.jobs=100#jobs");
        assert_eq!(turns.first("jobs"), "/a%2Fb?q=x%26y&from.actions=100#jobs");
        assert_eq!(turns.given(), [("q".to_owned(), "x&y".to_owned())]);
        for odd in ["from.jobs=-1", "from.jobs=x", "from.jobs=", "from.jobs=99999999999999999999999"] {
            assert_eq!(of(odd).at("jobs"), 0, "{odd}");
        }
        assert_eq!(of("from.jobs=99999999").at("jobs"), MOST_SKIPPED);
    }
}
