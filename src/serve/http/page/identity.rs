//! An identity: every name it goes by, what it reached, the agents that bear it, what it did.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows};
use super::html::{address, html};
use super::layout::{Page, page};
use super::parts::{Part, sections, seen};
use super::table::text;
use super::{Failed, Visitor, unknown};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

macro_rules! names {
    ($rest:literal) => {
        concat!(
            "with ids as (select distinct organization, id from known_as where id = $id or alias = $id or alias = lower($id)),
             names as (select k.alias as who from known_as k join ids i on i.organization = k.organization and i.id = k.id
               union select id from ids union select $id) ",
            $rest
        )
    };
}

const NAMES: &str = "
    select organization, alias, id as identity, kind, name from known_as
    where id in (select id from known_as where id = $id or alias = $id or alias = lower($id)) order by organization, alias";
const ACTIONS: &str = names!(
    "select distinct a.occurred, coalesce(a.organization, a.organization_id) as organization, a.action, a.actor_name, a.auth_mechanism, a.ip,
       a.agent_id, a.agent_name, a.executor, a.grade, a.event_id
     from actions a join (select * from names) n on n.who = a.actor_id or n.who = a.actor_client_id or n.who = a.actor_name or n.who = a.author_id
     order by occurred desc"
);
const AGENTS: &str = names!(
    "select coalesce(b.organization, b.organization_id) as organization, b.role, b.agent_id, b.agent_name, b.pool_id, b.pool_name, b.machine, b.\"from\",
       b.until, b.record_hash
     from bindings b join names n on n.who = b.identity_id order by b.\"from\" desc"
);
/// What it holds itself; what it reaches through groups takes long to work out, and is a report.
const HOLDS: &str = names!(
    "select distinct coalesce(g.organization, g.organization_id) as organization, g.kind, g.resource_kind, g.resource_name, g.resource_id, g.role,
       g.\"from\", g.until, g.by, g.record_hash
     from grants g join names n on n.who = g.holder_id order by g.kind, g.resource_kind, g.resource_name"
);

fn asks(id: &str) -> [Part; 4] {
    let own = |sql: &'static str| Ask::new(sql).text("id", id);
    [
        ("Names", own(NAMES), "No list of users, groups or applications names it; audit records alone do."),
        ("Agents that bear it", own(AGENTS), "No agent or machine is known to bear it."),
        (
            "What it holds itself",
            own(HOLDS),
            "Nothing is known to be given to it directly; it may reach more through its groups.",
        ),
        ("Actions", own(ACTIONS), "It has done nothing that was recorded."),
    ]
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(id): At<String>,
) -> Result<Page, Failed> {
    let asked = asks(&id);
    let text_of = format!("page identity {id}");
    let seen = seen(&desk, &signed, text_of, &asked).await?;
    if seen.iter().all(|rows| rows.rows.is_empty()) {
        return Err(unknown("the identity", &id));
    }
    let named = |rows: &Rows, column: &str| {
        rows.rows.iter().map(|row| text(row, column)).find(|name| !name.is_empty())
    };
    let name =
        named(&seen[0], "name").or_else(|| named(&seen[3], "actor_name")).unwrap_or_else(|| id.clone());
    let kind = named(&seen[0], "kind").unwrap_or_else(|| "identity".to_owned());
    let sections = sections(seen.iter().zip(&asked).rev());
    let reach = address(&["reports", "identity_reach"], &[("who", &id)]);
    let radius = address(&["reports", "blast_radius"], &[("who", &name)]);
    let main = html!(
        "<p class=\"over\">{}</p><h1>{}</h1><p class=\"id\">{}</p><p class=\"more\"><a href=\"{}\">What it reaches, also through its groups</a> <a href=\"{}\">Whose rights it has</a></p>{}",
        kind,
        name,
        id,
        reach,
        radius,
        sections
    );
    Ok(page(&signed.person, &format!("Identity {name}"), "/search", &name, main))
}
