//! An identity: every name it goes by, the agents that bear it, what it did and reached in some days.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows};
use super::days::{Days, OfDays, seen};
use super::html::{address, html};
use super::layout::{Page, page};
use super::parts::{Part, sections};
use super::table::text;
use super::turns::Turns;
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
    where id in (select id from known_as where id = $id or alias = $id or alias = lower($id)) order by organization, alias, id";
const ACTIONS: &str = names!(
    "select distinct a.occurred, coalesce(a.organization, a.organization_id) as organization, a.action, a.grade, a.agent_id, a.agent_name,
       a.executor, a.ip, a.auth_mechanism, a.actor_id, a.actor_name, a.event_id
     from actions a join (select * from names) n on n.who = a.actor_id or n.who = a.actor_client_id or n.who = a.actor_name or n.who = a.author_id
     where a.occurred >= $since and a.occurred < $until
     order by occurred desc, event_id"
);
/// What it acted on, and by how many agents; what it may act on stands in its grants.
const REACHED: &str = names!(
    "select organization, project, area, action, count(*) as times, count(distinct agent_id) as agents, min(occurred) as first, max(occurred) as last from (
       select distinct a.event_id, a.occurred, coalesce(a.organization, a.organization_id) as organization, a.project, a.area, a.action, a.agent_id
       from actions a join (select * from names) n on n.who = a.actor_id or n.who = a.actor_client_id or n.who = a.actor_name or n.who = a.author_id
       where a.occurred >= $since and a.occurred < $until
     ) group by 1, 2, 3, 4 order by times desc, organization, project, action"
);
const AGENTS: &str = names!(
    "select coalesce(b.organization, b.organization_id) as organization, b.agent_id, b.agent_name, b.machine, b.role, b.pool_id, b.pool_name, b.\"from\",
       b.until, b.record_hash
     from bindings b join names n on n.who = b.identity_id order by b.\"from\" desc, b.role, b.agent_id, b.machine"
);
/// Of all events the few that differ are compared with its names.
const NEWEST: &str = names!(
    "select max(e.date) as day,
       first_value(e.actor_name order by e.date desc) filter (where n.who in (e.actor_id, e.actor_client_id)) as name
     from (select date, actor_id, actor_client_id, actor_name, author_id from lake.events group by 1, 2, 3, 4, 5) e
     join (select * from names) n on n.who = e.actor_id or n.who = e.actor_client_id or n.who = e.actor_name or n.who = e.author_id"
);
/// What it holds itself; what it reaches through groups takes long to work out, and is a report.
const HOLDS: &str = names!(
    "select distinct coalesce(g.organization, g.organization_id) as organization, g.kind, g.resource_kind, g.resource_name, g.role, g.resource_id,
       g.\"from\", g.until, g.by, g.record_hash
     from grants g join names n on n.who = g.holder_id order by g.kind, g.resource_kind, g.resource_name, g.resource_id, g.role, g.\"from\""
);

fn asks(own: impl Fn(&'static str) -> Ask, days: Days) -> Vec<Part> {
    let of_days = |sql| own(sql).of_days(days);
    vec![
        ("Names", own(NAMES), "No list of users, groups or applications names it; audit records alone do."),
        ("Agents that bear it", own(AGENTS), "No agent or machine is known to bear it."),
        (
            "What it holds itself",
            own(HOLDS),
            "Nothing is known to be given to it directly; it may reach more through its groups.",
        ),
        ("What it reached", of_days(REACHED), "It did nothing in these days that was recorded."),
        ("Actions", of_days(ACTIONS), "It did nothing in these days that was recorded."),
    ]
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(id): At<String>,
    turns: Turns,
) -> Result<Page, Failed> {
    let text_of = format!("page identity {id}");
    let of = id.clone();
    let own = move |sql| Ask::new(sql).text("id", &of);
    let newest = own(NEWEST);
    let seen = seen(&desk, &signed, text_of, newest, |days| asks(own, days), &turns).await?;
    if seen.is_empty() {
        return Err(unknown("the identity", &id));
    }
    let form = seen.form(&["identity", &id]);
    let OfDays { asked, rows: seen, newest, .. } = seen;
    let named = |rows: &Rows, column: &str| {
        rows.rows.iter().map(|row| text(row, column)).find(|name| !name.is_empty())
    };
    let name = named(&seen[0], "name").or_else(|| named(&newest, "name")).unwrap_or_else(|| id.clone());
    let kind = named(&seen[0], "kind").unwrap_or_else(|| "identity".to_owned());
    // What it did before what is said of it.
    const ORDER: [usize; 5] = [3, 4, 1, 2, 0];
    let sections = sections(ORDER.into_iter().map(|n| (&seen[n], &asked[n])), &turns);
    let reach = address(&["reports", "identity_reach"], &[("who", &id)]);
    let radius = address(&["reports", "blast_radius"], &[("who", &name)]);
    let main = html!(
        "<p class=\"over\">{}</p><h1>{}</h1><p class=\"under id\">{}</p><p class=\"more\"><a href=\"{}\">What it may reach, also through its groups</a> <a href=\"{}\">Whose rights it has</a></p>{}{}",
        kind.replace('_', " "),
        name,
        id,
        reach,
        radius,
        form,
        sections
    );
    Ok(page(&signed.person, &format!("Identity {name}"), "/search", &name, main))
}
