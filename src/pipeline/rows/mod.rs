//! Values to rows: what an event, a fact or a reject writes into which table.
//!
//! Each function appends one row, its columns in the order of the table's schema file.

mod agents;
mod events;
mod facts;
mod findings;
mod holdings;
mod jobs;
mod refused;

use std::collections::BTreeMap;

use crate::attribute::{Binding, bindings_of_event, bindings_of_fact, token_of_event};
use crate::decode::holdings as holdings_of;
use crate::model::{Agent, Body, Date, Event, Fact, Reject, Time, Verdict};
use crate::schema::{Table, table, tables};
use crate::source::Payload;
use crate::store::{Builder, RowKey, Rows};

pub(super) use events::Old;
pub(super) use findings::Finding;
pub(super) use refused::{Refusal, conflicts, with_about};

/// Rows under construction, a builder per table that has any.
#[derive(Default)]
pub(super) struct RowSet {
    builders: BTreeMap<&'static str, Builder>,
}

impl RowSet {
    fn table(&mut self, name: &'static str) -> &mut Builder {
        self.builders.entry(name).or_insert_with(|| Builder::new(known_table(name)))
    }

    /// The row of an audit event, and those of the bindings, holdings and tokens it tells of.
    pub(super) fn event(&mut self, event: &Event<'_>, verdict: &Verdict, decided: Time) {
        events::append(self.table("events"), event, verdict, decided);
        for binding in bindings_of_event(event) {
            self.binding(&binding, &event.hash.to_string());
        }
        for (nth, holding) in holdings_of(event).iter().enumerate() {
            let said = holdings::Said {
                key: &format!("event/{}/{nth}", event.id),
                organization: (event.organization_id.as_deref(), event.organization.as_deref()),
                project_id: event.project_id.as_deref(),
                by: event.actor_name.as_deref().or(event.actor_id.as_deref()),
                occurred: event.occurred,
                observed: event.observed,
            };
            holdings::append(self.table("holdings"), &said, holding, &event.hash.to_string());
        }
        let tells_of_one = event.hints.agent_id.is_some() || event.hints.agent_name.is_some();
        if tells_of_one && ["Library.AgentDeleted", "Library.AgentsDeleted"].contains(&&*event.action) {
            agents::deleted(self.table("agents"), event);
        }
        if let Some(token) = token_of_event(event) {
            agents::token(self.table("identities"), event, &token);
        }
    }

    /// The row of a verdict that changed.
    pub(super) fn revision(
        &mut self,
        event: &Event<'_>,
        verdict: &Verdict,
        decided: Time,
        old: &Old<'_>,
        why: &str,
    ) {
        events::revision(self.table("revisions"), event, verdict, decided, old, why);
    }

    /// The row of a fact, and those of the typed tables it speaks to.
    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        let hash = fact.hash.to_string();
        facts::append(self.table("facts"), fact, &hash);
        match &fact.body {
            Body::Job(job) => jobs::job(self.table("jobs"), fact, job, &hash),
            Body::Run(run) => jobs::run(self.table("runs"), fact, run, &hash),
            Body::Agent(agent) => agents::agent(self.table("agents"), fact, agent, &hash),
            Body::Pool(pool) => agents::pool(self.table("pools"), fact, pool, &hash),
            Body::Queue(queue) => agents::queue(self.table("pools"), fact, queue, &hash),
            Body::Identity(identity) => agents::identity(self.table("identities"), fact, identity, &hash),
            Body::Connection(connection) => facts::connection(self.table("grants"), fact, connection, &hash),
            Body::Permissions(list) => {
                list.iter()
                    .for_each(|permission| facts::permission(self.table("grants"), fact, permission, &hash));
            }
            Body::Holding(holding) => {
                let org = (fact.organization.id.as_deref(), fact.organization.name.as_deref());
                let said = holdings::Said {
                    key: &fact.key,
                    organization: org,
                    project_id: fact.project_id.as_deref(),
                    by: None,
                    occurred: fact.when(),
                    observed: fact.observed,
                };
                holdings::append(self.table("holdings"), &said, holding, &hash);
            }
            Body::SignIn(sign_in) => facts::sign_in(self.table("signins"), fact, sign_in, &hash),
            // Timelines are too many, and each speaks for one run only.
            Body::Heard(heard) if heard.run_id.is_some() => {}
            Body::Heard(heard) => facts::heard(self.table("coverage"), fact, heard, &hash),
            Body::ElasticNode(_) | Body::ConnectionUse(_) | Body::Stated(_) | Body::Other => {}
        }
        for binding in bindings_of_fact(fact) {
            self.binding(&binding, &hash);
        }
    }

    /// The end of an agent that a list of its pool lacks, and that was seen last at a moment.
    pub(super) fn gone(&mut self, list: &Fact<'_>, agent: &Agent, seen: Time) {
        agents::gone(self.table("agents"), list, agent, seen);
    }

    pub(super) fn reject(&mut self, reject: &Reject<'_>, payload: &Payload) {
        refused::reject(self.table("rejects"), &Refusal::of(reject, payload));
    }

    pub(super) fn refusal(&mut self, refusal: &Refusal<'_>) {
        refused::reject(self.table("rejects"), refusal);
    }

    pub(super) fn id_conflict(&mut self, conflict: &refused::Conflict) {
        refused::reject(self.table("rejects"), &conflict.refusal());
        refused::finding(self.table("findings"), conflict);
    }

    /// The row of a finding in one of its states.
    pub(super) fn found(&mut self, finding: &Finding<'_>) {
        findings::append(self.table("findings"), finding);
    }

    fn binding(&mut self, binding: &Binding, hash: &str) {
        agents::binding(self.table("bindings"), binding, hash);
    }

    /// All rows, those of `others` behind its own, in the order in which a commit writes the tables.
    pub(super) fn finish(mut self, mut others: Vec<RowSet>) -> Vec<Rows> {
        let of = |table: &Table| {
            let own = self.builders.remove(table.name);
            let all = own.into_iter().chain(others.iter_mut().filter_map(|o| o.builders.remove(table.name)));
            Rows::concat(all.filter_map(Builder::finish).collect())
        };
        tables().iter().filter_map(of).collect()
    }
}

fn known_table(name: &'static str) -> &'static Table {
    table(name).unwrap_or_else(|| unreachable!("`{name}` is a table of this program"))
}

/// Organisation columns, the first two after the key in most tables.
fn organization(row: &mut Builder, fact: &Fact<'_>) {
    row.text(fact.organization.id.as_deref());
    row.text(fact.organization.name.as_deref());
}

/// Closes a row drawn from a fact: its key is the fact's, its partition the fact's own day.
fn end(row: &mut Builder, fact: &Fact<'_>, hash: &str) {
    row.text(Some(hash));
    row.end_row(RowKey::new(&fact.key), None);
}

fn end_dated(row: &mut Builder, fact: &Fact<'_>, hash: &str) {
    row.text(Some(hash));
    row.end_row(RowKey::new(&fact.key), day(fact));
}

/// The day of a fact that names a time of its own. One that does not has no day: the same state
/// seen again tomorrow must have the same place, or it would be stored twice.
fn day(fact: &Fact<'_>) -> Option<Date> {
    fact.occurred.map(Time::date)
}

fn kind_of_run(plan_type: Option<&str>) -> Option<&'static str> {
    plan_type.map(|t| if t.eq_ignore_ascii_case("release") { "release" } else { "build" })
}
