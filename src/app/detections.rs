//! `detections`: which there are, with what the settings say of them, and which actions they leave unwatched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::{Failure, ask, storage};
use crate::cli::{Format, ListDetections};
use crate::pipeline::{Rule, failing};
use crate::query::{Detection, NOT_AUDITED, actions, compile_sigma, names, silent};
use crate::settings::Settings;

/// Where a detection is from that is part of the program.
const BUILT_IN: &str = "agentrail";

/// The detections of a configuration.
struct Known {
    /// Those that run.
    rules: Vec<Rule>,
    /// Those that are switched off.
    off: Vec<Rule>,
    /// Files of the operator of which nothing can be made, and why.
    refused: Vec<(String, String)>,
}

/// The rules that run, as the settings say; what an operator's files hold besides is told in the log.
pub(super) fn rules(settings: &Settings) -> Result<Vec<Rule>, Failure> {
    let known = known(settings)?;
    for (path, says) in &known.refused {
        tracing::warn!(path, says, "a detection was refused, the others run");
    }
    Ok(known.rules)
}

/// Says which would run; fails where one was refused.
pub(super) fn check(settings: &Settings) -> Result<String, Failure> {
    let known = known(settings)?;
    match known.refused.first() {
        None => Ok(format!("{} would run", known.rules.len())),
        Some((path, says)) => Err(Failure::says(format!(
            "read {} of the detections, `{path}` among them: {says}",
            known.refused.len()
        ))),
    }
}

/// All detections there are: built in, of the operator's folder, of Sigma rules. Fails on settings of what is
/// not there.
fn known(settings: &Settings) -> Result<Known, Failure> {
    let mut all: BTreeMap<String, Rule> = BTreeMap::new();
    let mut refused = Vec::new();
    for detection in Detection::embedded() {
        let rule = Rule::new(detection.clone(), BUILT_IN);
        let rule = rule.map_err(|e| Failure::of(format!("read the detection `{}`", detection.name), e))?;
        all.insert(detection.name.clone(), rule);
    }
    for (name, path, text) in texts(&settings.detections.folder, &["sql"])? {
        match Detection::parse(&name, &text).and_then(|own| Rule::new(own, &path)) {
            Ok(rule) => drop(all.insert(name, rule)),
            Err(e) => refused.push((path, e.to_string())),
        }
    }
    let (compiled, not_compiled) = compile_sigma(&texts(&settings.detections.sigma, &["yml", "yaml"])?);
    refused.extend(not_compiled);
    for (detection, path) in compiled {
        let rule = Rule::new(detection, &path)
            .map_err(|e| Failure::of(format!("read the Sigma rule `{path}`"), e))?;
        all.insert(rule.name().to_owned(), rule);
    }
    let fail = |e| Failure::of("understand the settings in [detections]", e);
    for (name, set) in &settings.detections.rules {
        if !all.contains_key(name) {
            return Err(Failure::says(format!(
                "understand `detections.rules.{name}`: there is no such detection{}; `agentrail detections` lists them",
                near(name, all.keys().map(String::as_str))
            )));
        }
        let Some(rule) = all.get_mut(name) else { continue };
        if let Some(severity) = &set.severity {
            rule.set_severity(severity).map_err(fail)?;
        }
        for (param, value) in &set.params {
            rule.set(param, &value.0).map_err(fail)?;
        }
    }
    let own = &settings.detections;
    let is_on = |rule: &Rule| {
        let set = own.rules.get(rule.name()).and_then(|set| set.enabled);
        set.unwrap_or(own.built_in || rule.from != BUILT_IN)
    };
    let (rules, off) = all.into_values().partition(is_on);
    Ok(Known { rules, off, refused })
}

/// The files of a folder with one of these endings, by name: stem, path, text. No folder, no files.
fn texts(folder: &Path, endings: &[&str]) -> Result<Vec<(String, String, String)>, Failure> {
    if folder.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let fail = |path: &Path| {
        let what = format!("read `{}`; check [detections]", path.display());
        move |e: std::io::Error| Failure::of(what, e)
    };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail(folder))? {
        let path = entry.map_err(fail(folder))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if let Some(stem) =
            path.file_stem().and_then(|stem| stem.to_str()).filter(|_| endings.contains(&ending))
        {
            let text = std::fs::read_to_string(&path).map_err(fail(&path))?;
            out.push((stem.to_owned(), path.display().to_string(), text));
        }
    }
    out.sort();
    Ok(out)
}

/// The nearest of some names, as a question.
pub(super) fn near<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> String {
    let near = all.map(|own| (strsim::jaro_winkler(own, name), own)).filter(|(like, _)| *like > 0.8);
    near.max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, own)| format!(": did you mean `{own}`?"))
}

/// Prints one detection, or all and what they cover.
pub(super) async fn show(asked: &ListDetections, settings: &Settings) -> Result<u8, Failure> {
    let Known { rules, off, refused } = known(settings)?;
    if let Some(name) = &asked.name {
        let Some(rule) = rules.iter().chain(&off).find(|rule| rule.name() == name) else {
            return Err(Failure::says(format!(
                "find the detection `{name}`{}; `agentrail detections` lists them",
                near(name, rules.iter().chain(&off).map(Rule::name))
            )));
        };
        let is_on = rules.iter().any(|own| own.name() == name);
        return match asked.format {
            Format::Table => ask::print(whole(rule, is_on).as_bytes()),
            _ => ask::print(format!("{}\n", json(rule)).as_bytes()),
        };
    }
    let failed = match storage::find(settings).await {
        Ok(Some(lake)) => failing(&lake),
        _ => BTreeMap::new(),
    };
    if asked.format != Format::Table {
        let silent: Vec<_> = unwatched(&rules)
            .into_iter()
            .map(|(area, ids)| serde_json::json!({"area": area, "actions": ids}))
            .collect();
        let never: Vec<_> = NOT_AUDITED
            .iter()
            .map(|(what, instead)| serde_json::json!({"what": what, "instead": instead}))
            .collect();
        let rules: Vec<_> = rules.iter().map(json).collect();
        let refused: Vec<_> =
            refused.iter().map(|(path, says)| serde_json::json!({"path": path, "says": says})).collect();
        let all = serde_json::json!({"detections": rules, "refused": refused, "silent": silent, "not_audited": never, "failing": failed});
        return ask::print(format!("{all}\n").as_bytes());
    }
    let mut out = String::new();
    for rule in &rules {
        let own = &rule.detection;
        let tags: Vec<&str> = own.attack.iter().chain(&own.owasp).map(String::as_str).collect();
        let _ = writeln!(out, "{:<36} {:<9} {}", own.name, rule.severity(), own.title);
        let _ = writeln!(out, "{:<36} {:<9} {}", "", "", tags.join(" "));
    }
    let _ = writeln!(out, "\nActions, the detections that watch them, ATT&CK and OWASP CI/CD:");
    for (area, ids) in areas() {
        let _ = writeln!(out, "{area}");
        for id in ids {
            let watching: Vec<&Rule> = rules.iter().filter(|rule| watches(rule, id)).collect();
            if watching.is_empty() {
                continue;
            }
            let names: Vec<&str> = watching.iter().map(|rule| rule.name()).collect();
            let tags: BTreeSet<&str> = watching
                .iter()
                .flat_map(|rule| rule.detection.attack.iter().chain(&rule.detection.owasp))
                .map(String::as_str)
                .collect();
            let _ = writeln!(
                out,
                "  {id:<52} {} [{}]",
                names.join(", "),
                tags.into_iter().collect::<Vec<_>>().join(" ")
            );
        }
    }
    let any: Vec<&str> = rules.iter().filter(|rule| is_of_any(rule)).map(Rule::name).collect();
    let _ = writeln!(out, "any action\n  {}", any.join(", "));
    let _ = writeln!(out, "\nSilent: actions that no detection names, by area:");
    for (area, ids) in unwatched(&rules) {
        let _ = writeln!(out, "  {area:<20} {}", ids.join(", "));
    }
    let _ = writeln!(out, "\nWhat Azure DevOps does not audit, and what tells of it instead:");
    for (what, instead) in NOT_AUDITED {
        let _ = writeln!(out, "  {what}: {instead}");
    }
    for (path, says) in &refused {
        let _ = writeln!(out, "\nrefused: {path}: {says}");
    }
    for (name, (says, times)) in &failed {
        let _ = writeln!(out, "\nfailed {times} times, and is run again: {name}: {says}");
    }
    ask::print(out.as_bytes())
}

/// Whether a rule looks at records of any action: it watches none in particular.
fn is_of_any(rule: &Rule) -> bool {
    rule.detection.actions.iter().any(|pattern| pattern == "*")
}

fn watches(rule: &Rule, id: &str) -> bool {
    rule.detection.actions.iter().any(|pattern| pattern != "*" && names(pattern, id))
}

fn areas() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    actions().iter().for_each(|action| out.entry(action.area).or_default().push(action.id));
    out
}

/// The actions that no rule names, by area.
fn unwatched(rules: &[Rule]) -> BTreeMap<&'static str, Vec<&'static str>> {
    let patterns: Vec<&str> =
        rules.iter().flat_map(|rule| &rule.detection.actions).map(String::as_str).collect();
    silent(&patterns)
}

fn json(rule: &Rule) -> serde_json::Value {
    let own = &rule.detection;
    let params: Vec<_> = own
        .params
        .iter()
        .map(|(name, param)| {
            let value = rule.params.iter().find(|(own, _)| own == name).map(|(_, value)| value.to_string());
            serde_json::json!({"name": name, "type": param.kind, "doc": param.doc, "default": param.default, "value": value})
        })
        .collect();
    serde_json::json!({
        "name": own.name, "title": own.title, "severity": rule.severity(), "attack": own.attack, "owasp": own.owasp,
        "mirrors": own.mirrors, "why": own.why, "false_positives": own.false_positives, "next": own.next,
        "actions": own.actions, "tables": own.tables, "window_hours": own.window_hours,
        "suppress_hours": own.suppress_hours, "params": params, "from": rule.from, "sql": own.sql,
    })
}

fn whole(rule: &Rule, is_on: bool) -> String {
    let own = &rule.detection;
    let mut out = String::new();
    let mut line = |name: &str, says: String| {
        if !says.is_empty() {
            let _ = writeln!(out, "{name:<16} {says}");
        }
    };
    line("name", if is_on { own.name.clone() } else { format!("{}, switched off", own.name) });
    line("title", own.title.clone());
    line("severity", rule.severity().to_owned());
    line("ATT&CK", own.attack.join(", "));
    line("OWASP CI/CD", own.owasp.join(", "));
    line("same as", own.mirrors.join(", "));
    line("why", own.why.clone());
    line("false positives", own.false_positives.clone());
    line("look next at", own.next.clone());
    line("woken by", [own.actions.join(", "), own.tables.join(", ")].join(" ").trim().to_owned());
    line("window", format!("{} h", own.window_hours));
    line("suppressed for", format!("{} h", own.suppress_hours));
    line("from", rule.from.clone());
    for (name, param) in &own.params {
        let value =
            rule.params.iter().find(|(own, _)| own == name).map_or_else(String::new, |(_, v)| v.to_string());
        line("parameter", format!("{name}=<{}>  {} [now: {value}]", param.kind, param.doc));
    }
    let _ = writeln!(out, "\n{}", own.sql);
    out
}
