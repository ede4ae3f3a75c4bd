//! Attacks as the field leaves them, and a month without one, through the program itself.

use std::collections::{BTreeMap, BTreeSet};

use agentrail::simulate::{Plan, Spelling, World};

use super::cases::{self, Case};
use crate::lake::Scratch;

/// What a lake of these records holds as findings that stand, of all detections or of those named.
fn findings(scratch: &Scratch, only: &BTreeSet<&str>, lines: &[&str]) -> Vec<serde_json::Value> {
    let named = only.iter().map(|name| format!("[detections.rules.{name}]\nenabled = true\n"));
    let settings = format!("[detections]\nbuilt_in = {}\n", only.is_empty()) + &named.collect::<String>();
    scratch.file("agentrail.toml", settings);
    let path = scratch.file("recorded.ndjson", lines.join("\n"));
    let path = path.to_str().unwrap();
    let mut ingest = scratch.command(&["--config", "agentrail.toml", "ingest", "--format", "json", path]);
    let output = ingest.env("AGENTRAIL_DETECTIONS__AT_INGEST", "true").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let account: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(account["rejects"], 0, "{account}");
    scratch.sql(
        "select detection, subject, organization, organization_id, severity, says from findings where status = 'open'",
    )
}

fn text<'v>(row: &'v serde_json::Value, name: &str) -> &'v str {
    row[name].as_str().unwrap_or_default()
}

#[test]
fn recorded_attacks_are_found() {
    let all: Vec<Case> = cases::read("attack").into_values().flatten().collect();
    let scratch = Scratch::new();
    let lines: Vec<&str> = all.iter().flat_map(|case| &case.lines).map(String::as_str).collect();
    // Those that must be found, and no other: all hundred take their time in a build that is not optimised.
    let only =
        all.iter().flat_map(|case| &case.finds).filter_map(|find| Some(find.split_once(' ')?.0)).collect();
    let found = findings(&scratch, &only, &lines);
    let mut missed = Vec::new();
    for case in &all {
        let of =
            |row: &&serde_json::Value| case.is_named(text(row, "organization"), text(row, "organization_id"));
        let own: BTreeSet<String> = found
            .iter()
            .filter(of)
            .map(|row| format!("{} {}", text(row, "detection"), text(row, "subject")))
            .collect();
        missed.extend(
            case.finds
                .iter()
                .filter(|f| !own.contains(*f))
                .map(|f| format!("{}: {f}, but {own:#?}", case.name)),
        );
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // On demand over history it is the same.
    let again = scratch.ok(&[
        "detect",
        "pipeline_takes_secrets_and_goes",
        "--since",
        "2026-03-01",
        "--format",
        "ndjson",
    ]);
    assert_eq!(again.lines().count(), 2, "{again}");
}

#[test]
fn a_month_without_an_attack_raises_what_is_written_down_and_no_more() {
    let plan = Plan { runs: 120, days: 30, ..Plan::quiet() };
    let world = World::build(&plan);
    let mut lines: Vec<String> = world.captures().to_vec();
    lines.extend_from_slice(world.hooks());
    for event in world.events() {
        let mut line = Vec::new();
        event.write(Spelling::Rest, &mut line);
        lines.push(String::from_utf8(line).unwrap());
    }
    let scratch = Scratch::new();
    let found = findings(&scratch, &BTreeSet::new(), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let mut raised: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in &found {
        raised.entry(text(row, "detection")).or_default().push(format!(
            "{}: {}",
            text(row, "severity"),
            text(row, "says")
        ));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attack/quiet.csv");
    let quiet = std::fs::read_to_string(folder).unwrap();
    let written: BTreeMap<&str, usize> = quiet
        .lines()
        .skip(1)
        .map(|line| line.splitn(3, ',').collect::<Vec<_>>())
        .map(|row| (row[0], row[1].parse().unwrap()))
        .collect();
    let of: BTreeMap<&str, usize> = raised.iter().map(|(name, says)| (*name, says.len())).collect();
    let told = |(name, says): (&&str, &Vec<String>)| {
        format!("{name} {} {:?}", says.len(), &says[..says.len().min(3)])
    };
    assert_eq!(of, written, "{:#?}", raised.iter().map(told).collect::<Vec<_>>());
}
