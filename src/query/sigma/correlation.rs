//! Correlations: so many records, values or kinds of records within a span, as windows that slide.

use std::collections::BTreeMap;

use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, SigmaRule, WindowMode,
};

use super::super::Detection;
use super::field::column;
use super::{Refused, Told, actions_of, hours, of_record};
use crate::query::quoted;

/// Compiles a correlation of rules, which are given by name and id.
pub(super) fn compile(
    name: &str,
    rule: &CorrelationRule,
    rules: &BTreeMap<&str, &SigmaRule>,
) -> Result<Detection, Refused> {
    if rule.window != WindowMode::Sliding || rule.gap.is_some() {
        return Err(format!("windows of the kind `{}` are not made, only `sliding`", rule.window.as_str()));
    }
    if !rule.aliases.is_empty() {
        return Err("`aliases` are not made; group by fields that all its rules have".to_owned());
    }
    let mut parts = Vec::new();
    let mut actions = Vec::new();
    for reference in &rule.rules {
        let one = rules.get(reference.as_str()).ok_or_else(|| {
            format!("the rule `{reference}` that it counts is not in the folder under that name or id")
        })?;
        parts.push(of_record(one)?);
        actions.extend(actions_of(one));
    }
    if parts.is_empty() {
        return Err("it counts no rule".to_owned());
    }
    let groups = rule.group_by.iter().map(|field| column(field)).collect::<Result<Vec<_>, _>>()?;
    let seconds = rule.timespan.seconds;
    let of = Of { parts: &parts, groups: &groups, seconds };
    let sql = match rule.correlation_type {
        CorrelationType::EventCount => of.counted("count(*)", at_least(rule)?.0, &rule.title),
        CorrelationType::ValueCount => {
            let (least, field) = at_least(rule)?;
            let field = field.ok_or("`value_count` needs the field whose values it counts")?;
            of.distinct(&column(&field)?, least, &rule.title)
        }
        CorrelationType::Temporal => of.together(&rule.title),
        other => return Err(format!("correlations of the kind `{}` are not made", other.as_str())),
    };
    let told = Told {
        title: &rule.title,
        id: rule.id.as_deref(),
        level: rule.level,
        tags: &rule.tags,
        description: rule.description.as_deref(),
        falsepositives: &rule.falsepositives,
        references: &rule.references,
    };
    Ok(told.detection(name, actions, hours(&rule.timespan).saturating_mul(2), 0, sql))
}

/// The least number that a correlation asks for, and of which field's values.
fn at_least(rule: &CorrelationRule) -> Result<(u64, Option<String>), Refused> {
    let CorrelationCondition::Threshold { predicates, field, percentile: None } = &rule.condition else {
        return Err("its condition is none of `gte` and `gt`".to_owned());
    };
    let least = match predicates.as_slice() {
        [(ConditionOperator::Gte, n)] => *n,
        [(ConditionOperator::Gt, n)] => n.saturating_add(1),
        _ => {
            return Err("its condition must be one `gte` or `gt`: less than so many is never over".to_owned());
        }
    };
    let field = match field.as_deref() {
        None | Some([]) => None,
        Some([one]) => Some(one.clone()),
        Some(_) => return Err("it counts values of several fields at once, which is not made".to_owned()),
    };
    Ok((least, field))
}

/// The records that some rules match, and what they are grouped by.
struct Of<'c> {
    parts: &'c [String],
    groups: &'c [String],
    seconds: u64,
}

impl Of<'_> {
    /// The records, as far back as the span before the one before a window begins.
    fn records(&self, value: &str) -> String {
        let groups: Vec<String> =
            self.groups.iter().enumerate().map(|(n, g)| format!("{g} as g{n}")).collect();
        let groups = groups.iter().map(|g| format!(", {g}")).collect::<String>();
        let kinds: String = self
            .parts
            .iter()
            .enumerate()
            .map(|(n, part)| format!(", case when {part} then occurred end as r{n}"))
            .collect();
        let back = 2 * self.seconds;
        format!(
            "records as (\n  select *, coalesce(organization_id, organization) as org, {value} as counted{groups}{kinds}\n  \
             from actions\n  where occurred >= $from - interval '{back} seconds' and occurred < $until\n    and ({})\n)",
            self.parts.join(" or ")
        )
    }

    fn keys(&self) -> String {
        (0..self.groups.len()).fold("org".to_owned(), |keys, n| format!("{keys}, g{n}"))
    }

    fn over(&self) -> String {
        format!(
            "over (partition by {} order by occurred range between interval '{} seconds' preceding and current row)",
            self.keys(),
            self.seconds
        )
    }

    /// The record at which a condition over the records so far begins to hold.
    fn crossed(&self, with: &str, title: &str) -> String {
        let groups: Vec<String> = (0..self.groups.len()).map(|n| format!("coalesce(g{n}, '')")).collect();
        let subject = match groups.is_empty() {
            true => "'organization'".to_owned(),
            false => format!("concat_ws(' / ', {})", groups.join(", ")),
        };
        format!(
            "{with},\nedges as (\n  select *, lag(holds) over (partition by {} order by occurred, event_id) as held from windows\n)\n\
             select {subject} as subject, occurred, organization_id, organization, project_id, event_id,\n  \
               array_slice(ids, greatest(1, cast(array_length(ids) as bigint) - 49), cast(array_length(ids) as bigint)) as events, agent_id, agent_name, cast(null as varchar) as severity,\n  \
               concat({}, ': ', {subject}, ', ', cast(number as varchar), ' within {} s, the last of them ', action) as says\n\
             from edges\nwhere holds and not coalesce(held, false) and occurred >= $from and occurred < $until",
            self.keys(),
            quoted(title),
            self.seconds
        )
    }

    fn counted(&self, count: &str, least: u64, title: &str) -> String {
        let over = self.over();
        let with = format!(
            "with {},\nwindows as (\n  select *, {count} {over} as number, {count} {over} >= {least} as holds, array_agg(event_id) {over} as ids from records\n)",
            self.records("event_id")
        );
        self.crossed(&with, title)
    }

    fn distinct(&self, value: &str, least: u64, title: &str) -> String {
        // Values of a window are gathered and those told once counted.
        let over = self.over();
        let with = format!(
            "with {},\ngathered as (\n  select *, array_agg(counted) {over} as seen, array_agg(event_id) {over} as ids from records where counted is not null\n),\n\
             windows as (\n  select *, array_length(array_distinct(seen)) as number, array_length(array_distinct(seen)) >= {least} as holds from gathered\n)",
            self.records(value)
        );
        self.crossed(&with, title)
    }

    fn together(&self, title: &str) -> String {
        let over = self.over();
        let all: Vec<String> =
            (0..self.parts.len()).map(|n| format!("max(r{n}) {over} is not null")).collect();
        let with = format!(
            "with {},\nwindows as (\n  select *, count(*) {over} as number, {} as holds, array_agg(event_id) {over} as ids from records\n)",
            self.records("event_id"),
            all.join(" and ")
        );
        self.crossed(&with, title)
    }
}
