//! Sigma rules as detections: what they say of the audit log compiles to the same SQL; what cannot be said that
//! way is refused by name.
//!
//! Nothing of a rule is part of a statement but as a quoted text: fields are columns of this program's choosing.

mod condition;
mod correlation;
mod field;
mod matching;

use std::collections::{BTreeMap, BTreeSet};

use rsigma_parser::{
    CorrelationRule, Detection as Matches, Level, LogSource, SigmaRule, Timespan, parse_sigma_yaml,
};

use super::{Detection, quoted};
use condition::condition;
use matching::plain;

/// Why a rule is refused; finishes "failed to read the Sigma rule ...".
type Refused = String;

/// What was compiled, each with its path, and what was refused, by path and why.
pub type Compiled = (Vec<(Detection, String)>, Vec<(String, String)>);

/// Compiles the rules of some files, given by name, path and text.
pub fn compile(files: &[(String, String, String)]) -> Compiled {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    let mut rules: Vec<(String, &str, SigmaRule)> = Vec::new();
    let mut correlations: Vec<(String, &str, CorrelationRule)> = Vec::new();
    for (stem, path, text) in files {
        let read = match parse_sigma_yaml(text) {
            Ok(read) => read,
            Err(e) => {
                refused.push((path.clone(), e.to_string()));
                continue;
            }
        };
        refused.extend(read.errors.into_iter().map(|e| (path.clone(), e)));
        let filters = read.filters.into_iter();
        refused.extend(
            filters.map(|f| (path.clone(), format!("`{}` is a filter, which none is made of", f.title))),
        );
        let count = read.rules.len() + read.correlations.len();
        let mut nth = 0;
        let mut name = || {
            nth += 1;
            let stem: String = stem
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
                .collect();
            if count == 1 { format!("sigma_{stem}") } else { format!("sigma_{stem}_{nth}") }
        };
        read.rules.into_iter().for_each(|rule| rules.push((name(), path.as_str(), rule)));
        read.correlations.into_iter().for_each(|rule| correlations.push((name(), path.as_str(), rule)));
    }
    let mut by_name: BTreeMap<&str, &SigmaRule> = BTreeMap::new();
    for (_, _, rule) in &rules {
        by_name.extend([&rule.name, &rule.id].into_iter().flatten().map(|own| (own.as_str(), rule)));
    }
    // A rule that a correlation counts tells nothing by itself, unless that says so.
    let counted: BTreeSet<&str> = correlations
        .iter()
        .filter(|(_, _, rule)| !rule.generate)
        .flat_map(|(_, _, rule)| rule.rules.iter().map(String::as_str))
        .collect();
    for (name, path, rule) in &rules {
        let is_counted =
            [&rule.name, &rule.id].into_iter().flatten().any(|own| counted.contains(own.as_str()));
        match single(name, rule) {
            Ok(detection) if !is_counted => done.push((detection, (*path).to_owned())),
            Ok(_) => {}
            Err(says) => refused.push(((*path).to_owned(), format!("`{}`: {says}", rule.title))),
        }
    }
    for (name, path, rule) in &correlations {
        match correlation::compile(name, rule, &by_name) {
            Ok(detection) => done.push((detection, (*path).to_owned())),
            Err(says) => refused.push(((*path).to_owned(), format!("`{}`: {says}", rule.title))),
        }
    }
    (done, refused)
}

/// What a rule of one record says of it, as a condition over `actions`.
fn of_record(rule: &SigmaRule) -> Result<String, Refused> {
    source(&rule.logsource)?;
    if rule.detection.timeframe.is_some() {
        return Err("`timeframe` is of a version of Sigma that is gone; write a correlation".to_owned());
    }
    let conditions = rule.detection.conditions.iter().map(|own| condition(own, &rule.detection.named));
    let all = conditions.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err("it has no condition".to_owned()) } else { Ok(format!("({})", all.join(" or "))) }
}

fn source(own: &LogSource) -> Result<(), Refused> {
    let is = |field: &Option<String>, word: &str| {
        field.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(word))
    };
    if is(&own.product, "azure") && is(&own.service, "azuredevops") && own.category.is_none() {
        return Ok(());
    }
    let said: Vec<String> =
        [("product", &own.product), ("service", &own.service), ("category", &own.category)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?)))
            .collect();
    Err(format!(
        "the log source `{}` is not the audit log; that is `product: azure, service: azuredevops`",
        said.join(", ")
    ))
}

fn single(name: &str, rule: &SigmaRule) -> Result<Detection, Refused> {
    let matches = of_record(rule)?;
    let sql = format!(
        "select concat('user ', coalesce(actor_id, actor_client_id, actor_name, 'unknown')) as subject, occurred, \
           organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name, \
           cast(null as varchar) as severity, {} as says\n\
         from actions\nwhere occurred >= $from and occurred < $until\n  and {matches}",
        says(&rule.title)
    );
    let told = Told {
        title: &rule.title,
        id: rule.id.as_deref(),
        level: rule.level,
        tags: &rule.tags,
        description: rule.description.as_deref(),
        falsepositives: &rule.falsepositives,
        references: &rule.references,
    };
    Ok(told.detection(name, actions_of(rule), 0, 0, sql))
}

/// The sentence of a finding.
fn says(title: &str) -> String {
    format!(
        "concat({}, ': ', coalesce(actor_name, 'somebody'), ' (', coalesce(actor_id, actor_client_id, 'no id'), ') did ', action)",
        quoted(title)
    )
}

/// What rules of both kinds tell of themselves.
struct Told<'r> {
    title: &'r str,
    id: Option<&'r str>,
    level: Option<Level>,
    tags: &'r [String],
    description: Option<&'r str>,
    falsepositives: &'r [String],
    references: &'r [String],
}

impl Told<'_> {
    fn detection(
        &self,
        name: &str,
        actions: Vec<String>,
        window_hours: u32,
        suppress_hours: u32,
        sql: String,
    ) -> Detection {
        let severity = match self.level {
            Some(Level::Critical) => "critical",
            Some(Level::High) => "high",
            Some(Level::Low | Level::Informational) => "low",
            Some(Level::Medium) | None => "medium",
        };
        let technique = |tag: &String| {
            let id = tag.strip_prefix("attack.t")?;
            id.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("T{id}"))
        };
        Detection {
            name: name.to_owned(),
            title: self.title.to_owned(),
            severity: severity.to_owned(),
            attack: self.tags.iter().filter_map(technique).collect(),
            owasp: Vec::new(),
            mirrors: self.id.map(|id| format!("sigma:{id}")).into_iter().collect(),
            why: self.description.unwrap_or_default().trim().to_owned(),
            false_positives: self.falsepositives.join("; "),
            next: self.references.join(" "),
            actions,
            tables: Vec::new(),
            window_hours,
            suppress_hours,
            reads: vec!["actions".to_owned()],
            params: Vec::new(),
            sql,
        }
    }
}

/// The actions that a rule asks for; any, unless a part that must match names them.
fn actions_of(rule: &SigmaRule) -> Vec<String> {
    let any = || vec!["*".to_owned()];
    let [own] = rule.detection.conditions.as_slice() else { return any() };
    let must = condition::required(own);
    let named = must.into_iter().filter_map(|name| rule.detection.named.get(name)).find_map(|matches| {
        let Matches::AllOf(items) = matches else { return None };
        items.iter().find_map(|item| {
            let is_action =
                item.field.name.as_deref().is_some_and(field::is_action) && item.field.modifiers.is_empty();
            is_action.then(|| item.values.iter().map(plain).collect::<Option<Vec<String>>>()).flatten()
        })
    });
    named.filter(|actions| !actions.is_empty()).unwrap_or_else(any)
}

fn hours(span: &Timespan) -> u32 {
    u32::try_from(span.seconds.div_ceil(3600)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
