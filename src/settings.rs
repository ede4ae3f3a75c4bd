//! One configuration: defaults, then a TOML file, then the environment.

mod detections;
mod event_hubs;
mod export;
mod oidc;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use detections::{DetectionRule, Detections};
pub use event_hubs::{EventHubs, Hub};
pub use export::{Destination, Export};
pub use oidc::{Oidc, OidcRole};

/// Every setting with its default and a line of documentation.
pub const DEFAULTS: &str = include_str!("settings/default.toml");

/// Environment variables that override a setting start so.
pub const ENVIRONMENT: &str = "AGENTRAIL_";

/// Variables of that prefix which are not settings.
const NOT_SETTINGS: [&str; 4] =
    ["AGENTRAIL_LAKE", "AGENTRAIL_CONFIG", "AGENTRAIL_LOG", "AGENTRAIL_FAILPOINT"];

/// The whole configuration; `settings/default.toml` says what each means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub lake: Lake,
    pub storage: Storage,
    pub commit: Commit,
    pub attribute: Attribute,
    pub webhook: Webhook,
    pub azure_devops: AzureDevOps,
    pub event_hubs: EventHubs,
    pub files: Files,
    pub decode: Decode,
    pub query: Query,
    pub detections: Detections,
    pub serve: Serve,
    pub export: Export,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lake {
    pub path: PathBuf,
    pub retention_days: u32,
    pub free_floor: u64,
    pub index_memory: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub account: String,
    pub account_key: String,
    pub sas_token: String,
    pub client_id: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub region: String,
    pub endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    pub linger_ms: u64,
    pub max_bytes: usize,
    pub maintain_every: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    pub clock_tolerance: u32,
    pub window_days: u32,
    pub max_jobs: usize,
    pub max_news: usize,
    pub revise_every: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub enabled: bool,
    pub listen: String,
    pub behind_tls_proxy: bool,
    pub hec_tokens: Vec<String>,
    pub event_grid_keys: Vec<String>,
    pub hook_credentials: Vec<String>,
    pub max_body: usize,
    pub max_concurrent: usize,
    pub request_timeout: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureDevOps {
    pub organizations: Vec<String>,
    pub audit: bool,
    pub agents: bool,
    pub credential: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub pat: String,
    pub endpoint: String,
    pub requests_per_minute: u32,
    pub timeout: u64,
    pub audit_every: u64,
    pub audit_overlap: u64,
    pub audit_lag: u64,
    pub audit_backfill_days: u32,
    pub audit_page: u32,
    pub jobs_every: u64,
    pub agents_every: u64,
    pub rest_every: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    pub watch: Vec<String>,
    pub every: u64,
    pub urls_every: u64,
    pub chunk: usize,
    pub max_document: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    pub max_inflated: usize,
    pub max_record: usize,
    pub max_depth: usize,
    pub organization: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub memory: usize,
    pub threads: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    pub http: String,
    pub postgres: String,
    pub flight: String,
    pub users: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    pub connections: usize,
    pub at_once: usize,
    pub timeout: u64,
    pub rows: u64,
    pub memory: usize,
    pub spill: u64,
    pub oidc: Oidc,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("read the configuration `{path}`; check the path given with --config")]
    Read { path: String, source: std::io::Error },
    #[error("understand the configuration `{from}`")]
    Toml { from: String, source: toml::de::Error },
    #[error("understand the setting `{key}` in `{from}`: there is no such setting{hint}")]
    Unknown { key: String, from: String, hint: String },
    #[error("understand the setting `{key}` in `{from}`: it must be {want}, as in `{example}`")]
    Type { key: String, from: String, want: &'static str, example: String },
}

impl Settings {
    /// Reads the defaults, the file if one is given, and the environment's overrides.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsError> {
        let mut merged = parse(DEFAULTS, "the built-in defaults")?;
        if let Some(path) = file {
            let from = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|source| SettingsError::Read { path: from.clone(), source })?;
            merge(&mut merged, parse(&text, &from)?, "", &from)?;
        }
        for (name, value) in environment {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT)
                && !NOT_SETTINGS.contains(&name.as_str())
            {
                let path = rest.to_ascii_lowercase();
                let mut keys: Vec<&str> = path.split("__").collect();
                if keys.len() == 1 {
                    keys.push("");
                }
                let overlay = overlay(&merged, &keys, &value);
                merge(&mut merged, overlay, "", &name)?;
            }
        }
        toml::Table::try_into(merged)
            .map_err(|source| SettingsError::Toml { from: "the merged settings".to_owned(), source })
    }
}

fn parse(text: &str, from: &str) -> Result<toml::Table, SettingsError> {
    toml::from_str(text).map_err(|source| SettingsError::Toml { from: from.to_owned(), source })
}

/// Lays `over` onto `base`. Only keys that `base` has are taken, and only with its type, so the
/// defaults are at once the list of what may be set.
fn merge(base: &mut toml::Table, over: toml::Table, path: &str, from: &str) -> Result<(), SettingsError> {
    for (key, value) in over {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(slot) = base.get_mut(&key) else {
            let hint = nearest(&key, base.keys().map(String::as_str))
                .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
            return Err(SettingsError::Unknown { key: full, from: from.to_owned(), hint });
        };
        match (slot, value) {
            // A section without keys of its own is one of names that its owner gives.
            (toml::Value::Table(inner), toml::Value::Table(value)) if inner.is_empty() => *inner = value,
            (toml::Value::Table(inner), toml::Value::Table(value)) => merge(inner, value, &full, from)?,
            (slot, value) if slot.same_type(&value) && natural(&value) => *slot = value,
            (slot, _) => {
                return Err(SettingsError::Type {
                    key: full,
                    from: from.to_owned(),
                    want: kind(slot),
                    example: format!(
                        "{key} = {}",
                        if slot.is_table() { "{}".to_owned() } else { slot.to_string() }
                    ),
                });
            }
        }
    }
    Ok(())
}

/// All numbers among the settings count something.
fn natural(value: &toml::Value) -> bool {
    value.as_integer().is_none_or(|n| n >= 0)
}

fn kind(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) => "a whole number of at least 0",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Array(_) => "a list",
        _ => "a section",
    }
}

/// A variable's text in the type of the setting it overrides; a list is written with commas.
fn overlay(defaults: &toml::Table, keys: &[&str], text: &str) -> toml::Table {
    let (key, more) = keys.split_first().unwrap_or((&"", &[]));
    let old = defaults.get(*key);
    let value = match old {
        _ if !more.is_empty() => {
            let none = toml::Table::new();
            let inner = old.and_then(toml::Value::as_table).unwrap_or(&none);
            Some(toml::Value::Table(overlay(inner, more, text)))
        }
        Some(toml::Value::Integer(_)) => text.trim().parse().map(toml::Value::Integer).ok(),
        Some(toml::Value::Boolean(_)) => text.trim().parse().map(toml::Value::Boolean).ok(),
        Some(toml::Value::Array(_)) => Some(toml::Value::Array(
            text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(toml::Value::from).collect(),
        )),
        _ => None,
    };
    let value = value.unwrap_or_else(|| toml::Value::String(text.to_owned()));
    toml::Table::from_iter([((*key).to_owned(), value)])
}

fn nearest<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    all.map(|n| (strsim::damerau_levenshtein(word, n), n)).min().filter(|(d, _)| *d <= 3).map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agentrail.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(Some(&path), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_defaults_are_parsed_by_the_same_code() {
        let settings = Settings::load(None, std::iter::empty()).unwrap();
        assert_eq!(settings.webhook.listen, "127.0.0.1:8088");
        assert_eq!(settings, load("", &[]).unwrap());
    }

    #[test]
    fn every_setting_is_documented() {
        let mut documented = false;
        for line in DEFAULTS.lines() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(documented, "no line of documentation above `{line}`");
            }
            documented = line.starts_with('#');
        }
    }

    #[test]
    fn a_file_and_then_the_environment_win() {
        let settings = load(
            "[webhook]\nlisten = \"127.0.0.1:1\"\nmax_concurrent = 7\n",
            &[
                ("AGENTRAIL_WEBHOOK__LISTEN", "127.0.0.1:2"),
                ("AGENTRAIL_FILES__WATCH", "a, b"),
                ("AGENTRAIL_LAKE", "x"),
            ],
        )
        .unwrap();
        assert_eq!((settings.webhook.listen.as_str(), settings.webhook.max_concurrent), ("127.0.0.1:2", 7));
        assert_eq!(settings.files.watch, ["a", "b"]);
    }

    #[test]
    fn a_hub_says_what_differs_from_the_section() {
        let settings = load(
            "[event_hubs]\nprefetch = 100\n[[event_hubs.hubs]]\nnamespace = \"contoso\"\nhub = \"audit\"\nstarts = { 3 = \"4711\" }\n",
            &[],
        )
        .unwrap();
        let hub = &settings.event_hubs.hubs[0];
        assert_eq!(
            (hub.namespace.as_str(), hub.prefetch, hub.starts["3"].as_str()),
            ("contoso", None, "4711")
        );
        let wrong = load("[[event_hubs.hubs]]\nhub = \"a\"\nnamespase = \"b\"\n", &[]).unwrap_err();
        let says = std::error::Error::source(&wrong).unwrap().to_string();
        assert!(says.contains("namespase") && says.contains("`namespace`"), "{says}");
    }

    #[test]
    fn a_section_within_a_section_is_set_like_any_other() {
        let text =
            "[serve.oidc]\nissuer = \"https://a\"\n[[serve.oidc.roles]]\nvalue = \"x\"\nrole = \"reader\"\n";
        let settings = load(text, &[("AGENTRAIL_SERVE__OIDC__CLIENT_ID", "c")]).unwrap();
        let oidc = &settings.serve.oidc;
        assert_eq!((oidc.issuer.as_str(), oidc.client_id.as_str()), ("https://a", "c"));
        assert_eq!((oidc.roles[0].claim.as_str(), oidc.roles[0].role), ("roles", crate::serve::Role::Reader));
        let says = |text: &str, environment: &[_]| load(text, environment).unwrap_err().to_string();
        assert!(says("[serve.oidc]\nisuer = \"x\"\n", &[]).contains("`serve.oidc.isuer`"));
        assert!(says("", &[("AGENTRAIL_SERVE__OIDC__SESION", "1")]).contains("did you mean `session`?"));
        assert!(says("", &[("AGENTRAIL_SERVE__OIDC__SESSION", "soon")]).contains("a whole number"));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest() {
        let says = |text, environment| load(text, environment).unwrap_err().to_string();
        assert!(says("[webhook]\nlisen = \"x\"\n", &[]).contains("`webhook.lisen`"));
        assert!(says("[webhook]\nlisen = \"x\"\n", &[]).contains("did you mean `listen`?"));
        assert!(says("[webhok]\n", &[]).contains("did you mean `webhook`?"));
        assert!(says("[commit]\nlinger_ms = \"soon\"\n", &[]).contains("a whole number"));
        assert!(says("[commit]\nlinger_ms = -1\n", &[]).contains("a whole number"));
        assert!(says("", &[("AGENTRAIL_COMMIT__LINGER_MS", "soon")]).contains("AGENTRAIL_COMMIT__LINGER_MS"));
        assert!(says("", &[("AGENTRAIL_COMIT__LINGER_MS", "1")]).contains("did you mean `commit`?"));
    }
}
