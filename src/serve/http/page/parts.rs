//! Pages of parts: what each asks, in one session, and its section.

use super::DOOR;
use super::ask::{Ask, Rows};
use super::html::Html;
use super::table::{Source, section};
use crate::serve::gate::Refusal;
use crate::serve::http::Desk;
use crate::serve::http::sign_in::Signed;

/// A title, what is asked, and what is said where there are no rows.
pub(super) type Part = (&'static str, Ask, &'static str);

/// The rows of each part; `text` is what the log of queries says of the page.
pub(super) async fn seen(
    desk: &Desk,
    signed: &Signed,
    text: String,
    parts: &[Part],
) -> Result<Vec<Rows>, Refusal> {
    let asks: Vec<Ask> = parts.iter().map(|(_, ask, _)| ask.clone()).collect();
    let see = async move |session| {
        let mut all = Vec::with_capacity(asks.len());
        for ask in &asks {
            all.push(ask.rows(&session).await?);
        }
        Ok(all)
    };
    desk.work(signed, DOOR, text, see).await
}

/// The sections of parts with their rows, in this order.
pub(super) fn sections<'p>(parts: impl Iterator<Item = (&'p Rows, &'p Part)>) -> Html {
    parts.map(|(rows, (title, ask, empty))| section(title, rows, &Source::Ask(ask), empty)).collect()
}
