//! An identity: every name it goes by, the agents that bear it, what it did and reached in some days.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows};
use super::days::{Days, OfDays, of_days};
use super::html::{address, html};
use super::layout::{Page, page};
use super::parts::{Part, sections};
use super::table::text;
use super::turns::Turns;
use super::{DOOR, Failed, Visitor, unknown};
use crate::query::Session;
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

/// That a column is one of the names it goes by, `$names`.
macro_rules! named {
    ($column:literal) => {
        concat!("array_has(string_to_array($names, chr(31)), ", $column, ")")
    };
}

/// That it did something, or is named as whoever did.
macro_rules! did {
    () => {
        concat!(
            "(",
            named!("actor_id"),
            " or ",
            named!("actor_client_id"),
            " or ",
            named!("actor_name"),
            " or ",
            named!("author_id"),
            ")"
        )
    };
}

/// What no name holds, which `chr(31)` is.
const BETWEEN_NAMES: &str = "\u{1f}";
/// A link to rows as a file carries them all.
const MOST_NAMES: usize = 200;

const NAMES: &str = "
    select organization, alias, id as identity, kind, name from known_as
    where id in (select id from known_as where id = $id or alias = $id or alias = lower($id)) order by organization, alias, id";
const ACTIONS: &str = concat!(
    "select occurred, coalesce(organization, organization_id) as organization, action, grade, agent_id, agent_name,
       executor, ip, auth_mechanism, actor_id, actor_name, event_id
     from actions where occurred >= $since and occurred < $until and ",
    did!(),
    " order by occurred desc, event_id"
);
/// What it acted on, and by how many agents; what it may act on stands in its grants.
const REACHED: &str = concat!(
    "select coalesce(organization, organization_id) as organization, project, area, action, count(*) as times,
       count(distinct agent_id) as agents, min(occurred) as first, max(occurred) as last
     from actions where occurred >= $since and occurred < $until and ",
    did!(),
    " group by 1, 2, 3, 4 order by times desc, organization, project, action"
);
const AGENTS: &str = concat!(
    "select coalesce(organization, organization_id) as organization, agent_id, agent_name, machine, role, pool_id, pool_name, \"from\",
       until, record_hash
     from bindings where ",
    named!("identity_id"),
    " order by \"from\" desc, role, agent_id, machine"
);
const NEWEST: &str = concat!(
    "select max(date) as day, first_value(actor_name order by date desc) filter (where ",
    named!("actor_id"),
    " or ",
    named!("actor_client_id"),
    ") as name from lake.events where ",
    did!()
);
/// What it holds itself; what it reaches through groups takes long to work out, and is a report.
const HOLDS: &str = concat!(
    "select distinct coalesce(organization, organization_id) as organization, kind, resource_kind, resource_name, role, resource_id,
       \"from\", until, \"by\", record_hash
     from grants where ",
    named!("holder_id"),
    " order by kind, resource_kind, resource_name, resource_id, role, \"from\""
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

/// All that it is called, as one text.
fn names_of(id: &str, named: &Rows) -> String {
    let known = named.rows.iter().flat_map(|row| [text(row, "alias"), text(row, "identity")]);
    let all: BTreeSet<String> =
        known.chain([id.to_owned()]).filter(|name| !name.contains(BETWEEN_NAMES)).collect();
    all.into_iter().collect::<Vec<_>>().join(BETWEEN_NAMES)
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(id): At<String>,
    turns: Turns,
) -> Result<Page, Failed> {
    if id.contains(BETWEEN_NAMES) {
        return Err(unknown("the identity", &id));
    }
    let text_of = format!("page identity {id}");
    let (days, of, place) = (Days::asked(&turns.given())?, id.clone(), turns.clone());
    let work = async move |session: Session| {
        let named = Ask::new(NAMES).text("id", &of).most(&session, MOST_NAMES).await?;
        let names = names_of(&of, &named);
        let own = |sql| Ask::new(sql).text("id", &of).text("names", &names);
        of_days(&session, own(NEWEST), days, |days| asks(own, days), &place).await
    };
    let seen = desk.work(&signed, DOOR, text_of, work).await?;
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
