//! Rows of `holdings`: one word on who holds what, from a fact or an event.

use crate::model::{Holding, Time};
use crate::store::{Builder, RowKey};

/// Where a word is from.
pub(super) struct Said<'a> {
    pub key: &'a str,
    /// Id and name.
    pub organization: (Option<&'a str>, Option<&'a str>),
    pub project_id: Option<&'a str>,
    pub by: Option<&'a str>,
    pub occurred: Time,
    pub observed: Time,
}

pub(super) fn append(row: &mut Builder, said: &Said<'_>, holding: &Holding, hash: &str) {
    row.text(Some(said.key));
    row.text(said.organization.0);
    row.text(said.organization.1);
    row.text(said.project_id);
    row.text(Some(&holding.kind));
    row.text(holding.holder_id.as_deref());
    row.text(holding.holder_name.as_deref());
    row.int(holding.pipeline_id);
    row.text(holding.resource_kind.as_deref());
    row.text(holding.resource_id.as_deref());
    row.text(holding.resource_name.as_deref());
    row.text(holding.role.as_deref());
    row.text(Some(&holding.says));
    row.flag(Some(holding.holds));
    row.flag(Some(holding.below));
    row.texts(holding.members.iter().flatten().map(String::as_str));
    row.text(said.by);
    row.time(Some(said.occurred));
    row.time(Some(said.observed));
    row.text(Some(hash));
    row.end_row(RowKey::new(said.key), None);
}
