//! The section `[detections]`: when they run, what an operator adds, and what is set for each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// When detections run and which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detections {
    pub every: u64,
    pub at_ingest: bool,
    pub built_in: bool,
    pub folder: PathBuf,
    pub sigma: PathBuf,
    pub timeout: u64,
    pub memory: usize,
    /// By name.
    pub rules: BTreeMap<String, DetectionRule>,
}

/// What is set for one detection; what it leaves out is as its header says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionRule {
    pub enabled: Option<bool>,
    pub severity: Option<String>,
    pub params: BTreeMap<String, Value>,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Value(pub String);

impl TryFrom<toml::Value> for Value {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Value, String> {
        match value {
            toml::Value::String(text) => Ok(Value(text)),
            toml::Value::Integer(number) => Ok(Value(number.to_string())),
            toml::Value::Datetime(time) => Ok(Value(time.to_string())),
            other => Err(format!("a parameter is text, a number or a time, not `{other}`")),
        }
    }
}
