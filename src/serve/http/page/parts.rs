//! Pages of parts: what each asks, in one session, and its section.

use super::DOOR;
use super::ask::{Ask, PART_ROWS, Rows};
use super::html::Html;
use super::table::{Source, name_of, section};
use super::turns::Turns;
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
    turns: &Turns,
) -> Result<Vec<Rows>, Refusal> {
    let asks: Vec<(Ask, usize)> =
        parts.iter().map(|(title, ask, _)| (ask.clone(), turns.at(&name_of(title)))).collect();
    let see = async move |session| {
        let mut all = Vec::with_capacity(asks.len());
        for (ask, from) in &asks {
            all.push(ask.window(&session, *from, PART_ROWS).await?);
        }
        Ok(all)
    };
    desk.work(signed, DOOR, text, see).await
}

/// The sections of parts with their rows, in this order.
pub(super) fn sections<'p>(parts: impl Iterator<Item = (&'p Rows, &'p Part)>, turns: &Turns) -> Html {
    parts.map(|(rows, (title, ask, empty))| section(title, rows, &Source::Ask(ask), turns, empty)).collect()
}
