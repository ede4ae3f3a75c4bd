//! Detections: each finds what its cases say, and no predicate of it is idle; and what keeps their findings.

mod attacks;
mod cases;
mod kept;
mod mutants;
mod sigma;

use std::collections::BTreeMap;

use agentrail::pipeline::Rule;
use agentrail::query::{Detection, columns_fault};
use datafusion::common::ScalarValue;

use cases::{ALL, Case, Tables, in_parallel, rule};
use mutants::mutants;

/// Mutants of one detection that the gate tries; the long form tries all.
const SAMPLED: usize = 12;

#[test]
fn each_detection_plans_against_the_schemas_and_answers_with_the_agreed_columns() {
    let tables = Tables::empty();
    for detection in Detection::embedded() {
        let rule = Rule::new(detection.clone(), "").unwrap();
        let mut values = vec![("from", at(ALL.0)), ("until", at(ALL.1))];
        values.extend(rule.params.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let answer = tables.runtime.block_on(tables.session().sql_with(&detection.sql, values));
        let schema = answer.unwrap_or_else(|e| panic!("{}: {e}", detection.name)).schema;
        assert_eq!(columns_fault(&schema), None, "{}", detection.name);
    }
}

fn at(text: &str) -> ScalarValue {
    let micros = agentrail::model::Time::parse(text).unwrap().unix_micros();
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

#[test]
fn each_detection_finds_what_its_cases_say_and_needs_each_of_its_predicates() {
    let all = cases::read("detection");
    for detection in Detection::embedded() {
        let of = |fires: bool| {
            all.get(&detection.name).is_some_and(|cases| cases.iter().any(|c| c.finds.is_empty() != fires))
        };
        assert!(of(true) && of(false), "{}: a case that fires and a near miss are wanted", detection.name);
    }
    let tables = Tables::of(&all);
    // `1`: all mutants of all; names: all of these, and no other detection.
    let long = std::env::var("PEERS_LONG").unwrap_or_default();
    let named: Vec<&str> = long.split(',').filter(|name| all.contains_key(*name)).collect();
    let tried = Detection::embedded().iter().filter(|d| named.is_empty() || named.contains(&d.name.as_str()));
    let long = !named.is_empty() || long == "1";
    let faults = in_parallel(&tried.collect::<Vec<_>>(), |detection| {
        let cases = &all[&detection.name];
        let tables = tables.only(&detection.name, cases);
        let mut faults = Vec::new();
        if let Some(fault) = first_fault(&tables, detection, &detection.sql, cases) {
            return vec![format!("{}: {fault}", detection.name)];
        }
        faults.extend(split_fault(&tables, detection, cases));
        let mut mutants = mutants(&detection.sql);
        if !long {
            // Which ones differs from one detection to another, and stays the same for each.
            mutants.sort_by_key(|m| agentrail::model::RecordHash::of(m.what.as_bytes()).0);
            mutants.truncate(SAMPLED);
        }
        for mutant in mutants {
            if first_fault(&tables, detection, &mutant.sql, cases).is_none() {
                faults.push(format!("{}: every case stands with {}", detection.name, mutant.what));
            }
        }
        faults
    });
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The first case that does not stand with a statement; one that cannot run makes no case stand.
fn first_fault(tables: &Tables, detection: &Detection, sql: &str, cases: &[Case]) -> Option<String> {
    let mut by_params: BTreeMap<&BTreeMap<String, String>, Vec<&Case>> = BTreeMap::new();
    cases.iter().for_each(|case| by_params.entry(&case.params).or_default().push(case));
    for (params, cases) in by_params {
        let rule = rule(detection, params);
        let found = match tables.found(&rule, sql, ALL) {
            Ok(found) => found,
            Err(e) => return Some(e),
        };
        for case in cases {
            let own: Vec<_> = found.iter().filter(|f| case.is_of(f)).collect();
            let subjects: Vec<&str> = own.iter().map(|f| f.subject.as_str()).collect();
            if subjects != case.finds {
                return Some(format!("`{}` finds {subjects:?}, not {:?}", case.name, case.finds));
            }
            let severity: Vec<&str> =
                own.iter().map(|f| f.severity.as_deref().unwrap_or(&detection.severity)).collect();
            if case.severity.as_ref().is_some_and(|wanted| severity != *wanted) {
                return Some(format!("`{}` is {severity:?}, not {:?}", case.name, case.severity));
            }
            let events: Vec<usize> = own.iter().map(|f| f.events).collect();
            if case.events.as_ref().is_some_and(|wanted| events != *wanted) {
                return Some(format!("`{}` is of {events:?} events, not {:?}", case.name, case.events));
            }
        }
    }
    None
}

/// A span cut in two finds the same as the whole: a run sees the span it is given and no other.
fn split_fault(tables: &Tables, detection: &Detection, cases: &[Case]) -> Option<String> {
    let params: Vec<_> =
        cases.iter().filter(|case| !case.finds.is_empty()).map(|case| &case.params).collect();
    let rule = rule(detection, params.first()?);
    let found = |span| tables.found(&rule, &detection.sql, span).unwrap_or_default();
    let whole = found(ALL);
    let middle = whole.get(whole.len() / 2)?.occurred.clone();
    let mut parts = found((ALL.0, &middle));
    parts.extend(found((&middle, ALL.1)));
    parts.sort();
    let is_same = parts == whole;
    (!is_same).then(|| format!("{}: cut at {middle} it finds {parts:?}, in one {whole:?}", detection.name))
}
