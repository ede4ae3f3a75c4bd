//! Pages of parts: what each asks, in one session, and its section.

use futures::TryStreamExt as _;

use super::DOOR;
use super::ask::{Ask, PART_ROWS, Rows};
use super::html::Html;
use super::table::{Source, name_of, section};
use super::turns::Turns;
use crate::query::{QueryError, Session};
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
    let (parts, turns) = (parts.to_vec(), turns.clone());
    desk.work(signed, DOOR, text, async move |session| rows_of(&session, &parts, &turns).await).await
}

/// The rows of each part, from where each is turned to.
pub(super) async fn rows_of(
    session: &Session,
    parts: &[Part],
    turns: &Turns,
) -> Result<Vec<Rows>, QueryError> {
    let asks = parts.iter().map(|(title, ask, _)| ask.part(session, turns.at(&name_of(title)), PART_ROWS));
    session.together(asks).try_collect().await
}

/// The sections of parts with their rows, in this order.
pub(super) fn sections<'p>(parts: impl Iterator<Item = (&'p Rows, &'p Part)>, turns: &Turns) -> Html {
    parts.map(|(rows, (title, ask, empty))| section(title, rows, &Source::Ask(ask), turns, empty)).collect()
}
