//! A lake with records of three organisations, destinations, and what each of them is to have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::receivers::{Certificate, Receivers};
use crate::lake::{Scratch, audit_record};

/// Longer than anything takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub const ORGANIZATIONS: [&str; 3] = ["contoso", "fabrikam", "tailspin"];

/// A record of the organisation that its number gives it.
pub fn record(n: u32, details: &str) -> String {
    let which = n as usize % ORGANIZATIONS.len();
    let details = serde_json::to_string(details).unwrap();
    audit_record(n)
        .replace("contoso (Organization)", &format!("{} (Organization)", ORGANIZATIONS[which]))
        .replace(
            "5b000000-0000-4000-8000-000000000001",
            &format!("5b000000-0000-4000-8000-00000000000{}", which + 4),
        )
        .replace("\"web was created\"", &details)
}

/// The number of an event's id, and its organisation's.
pub fn number(key: &str) -> u32 {
    u32::from_str_radix(&key[24..36], 16).unwrap()
}

/// The idempotency key of an item, wherever its shape has it: an event's id and a revision.
pub fn key(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => {
            let (id, revision) = text.rsplit_once(':')?;
            let is_key = id.len() == 36
                && id.bytes().filter(|b| *b == b'-').count() == 4
                && !revision.is_empty()
                && revision.bytes().all(|b| b.is_ascii_digit());
            is_key.then(|| text.clone())
        }
        Value::Array(items) => items.iter().find_map(key),
        Value::Object(members) => members.values().find_map(key),
        _ => None,
    }
}

pub struct Rig {
    pub scratch: Scratch,
    pub own: Certificate,
    pub other: Certificate,
    /// Of the program.
    pub environment: Vec<(String, String)>,
}

impl Rig {
    pub fn new() -> Rig {
        let scratch = Scratch::new();
        let (own, other) = (Certificate::new(&scratch, "own"), Certificate::new(&scratch, "other"));
        Rig { scratch, own, other, environment: Vec::new() }
    }

    /// Receivers with these settings, plain or with TLS.
    pub fn receivers(&self, name: &str, tls: bool, settings: Value) -> Option<Receivers> {
        let mut settings = settings;
        if tls {
            for (name, path) in [
                ("certificate", &self.own.chain),
                ("key", &self.own.key),
                ("wrong_certificate", &self.other.chain),
                ("wrong_key", &self.other.key),
            ] {
                settings[name] = path.display().to_string().into();
            }
        }
        Receivers::start(&self.scratch.path(name), settings)
    }

    pub fn configure(&self, text: &str) -> PathBuf {
        self.scratch.file("agentrail.toml", text)
    }

    /// Puts records of these numbers into the lake, all in one file.
    pub fn ingest(&self, numbers: std::ops::Range<u32>) {
        self.ingest_with(numbers, |_| "web was created".to_owned());
    }

    pub fn ingest_with(&self, numbers: std::ops::Range<u32>, details: impl Fn(u32) -> String) {
        let name = format!("{}-{}.ndjson", numbers.start, numbers.end);
        let text: String = numbers.map(|n| record(n, &details(n)) + "\n").collect();
        self.scratch.ingest(&self.scratch.file(&name, text));
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let config = self.scratch.path("agentrail.toml");
        let mut command = self.scratch.command(arguments);
        command.arg("--config").arg(config).env("AGENTRAIL_LOG", "warn").envs(self.environment.clone());
        command
    }

    /// Exports what is there, and ends.
    pub fn export(&self) -> Output {
        let mut child = self.begin();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                let output = child.wait_with_output().unwrap();
                panic!("the export does not end\n{}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().unwrap()
    }

    /// The same, and it must end well.
    pub fn exported(&self) {
        let output = self.export();
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}\n{says}", output.status);
    }

    /// Begins to export what is there.
    pub fn begin(&self) -> Child {
        let mut command = self.command(&["export", "run", "--once"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What `export status` says of a destination.
    pub fn status(&self, name: &str) -> Value {
        let output = self.command(&["export", "status", "--format", "json"]).output().unwrap();
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {says}"));
        let all = all.as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{all:?}")).clone()
    }

    /// The keys of all events, in the order of their commits.
    pub fn keys(&self) -> Vec<String> {
        let rows = self.scratch.sql("select event_id from lake.events order by known, occurred, event_id");
        rows.iter().map(|row| format!("{}:0", row["event_id"].as_str().unwrap())).collect()
    }

    /// Keys and reasons in `export_rejects`.
    pub fn rejects(&self, destination: &str) -> BTreeMap<String, String> {
        let rows = self
            .scratch
            .sql(&format!("select item, reason from export_rejects where destination = '{destination}'"));
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.iter().map(|row| (text(row, "item"), text(row, "reason"))).collect()
    }
}

/// Each wanted key is there at least once, and no other.
pub fn at_least_once(keys: &[String], wanted: &[String]) {
    let (keys, wanted): (BTreeSet<&String>, BTreeSet<&String>) =
        (keys.iter().collect(), wanted.iter().collect());
    let missing: Vec<_> = wanted.difference(&keys).take(5).collect();
    let foreign: Vec<_> = keys.difference(&wanted).take(5).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "missing {missing:?}, foreign {foreign:?}");
}

/// Each organisation's keys came first in the order of commits, whatever came again.
pub fn in_order(keys: &[String], wanted: &[String]) {
    let place: BTreeMap<&String, usize> = wanted.iter().enumerate().map(|(at, key)| (key, at)).collect();
    let (mut last, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for key in keys.iter().filter(|key| seen.insert(key.as_str())) {
        let organization = number(key) as usize % ORGANIZATIONS.len();
        let before = last.insert(organization, place[key]);
        assert!(before.is_none_or(|before| before < place[key]), "{key} came too late");
    }
}

/// The keys of what a receiver took, in its order.
pub fn keys_of(seen: &[Value]) -> Vec<String> {
    let one = |line: &Value| key(&line["item"]).or_else(|| key(&line["id"]));
    seen.iter().map(|line| one(line).unwrap_or_else(|| panic!("no key in {line}"))).collect()
}
