//! A detection as this lake runs it: with the severity and the parameters that its operator has set.

use datafusion::common::ScalarValue;

use crate::model::{RecordHash, Ticks};
use crate::query::{Detection, QueryError, SEVERITIES, value_of};

/// A detection with what was set for it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub detection: Detection,
    /// In place of the detection's own.
    pub severity: Option<String>,
    pub params: Vec<(String, ScalarValue)>,
    /// Where it is from: `agentrail`, or a file of the operator.
    pub from: String,
}

impl Rule {
    /// A detection with the defaults of its parameters.
    pub fn new(detection: Detection, from: &str) -> Result<Rule, QueryError> {
        let default = |(name, param): &(String, crate::query::Param)| {
            let text = param.default.as_deref().unwrap_or_default();
            Ok((name.clone(), value_of(name, param, text)?))
        };
        let params = detection.params.iter().map(default).collect::<Result<_, QueryError>>()?;
        Ok(Rule { detection, severity: None, params, from: from.to_owned() })
    }

    pub fn name(&self) -> &str {
        &self.detection.name
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), QueryError> {
        let Some((_, param)) = self.detection.params.iter().find(|(own, _)| own == name) else {
            let names: Vec<&str> = self.detection.params.iter().map(|(own, _)| own.as_str()).collect();
            let near = names.iter().map(|own| (strsim::jaro_winkler(own, name), own));
            let near = near.filter(|(like, _)| *like > 0.7).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = near.map_or_else(String::new, |(_, own)| format!("; did you mean `{own}`?"));
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let says = format!("`{}` has no such parameter{hint} It has: {has}", self.name());
            return Err(QueryError::Param { name: name.to_owned(), says });
        };
        let value = value_of(name, param, text)?;
        self.params.iter_mut().filter(|(own, _)| own == name).for_each(|(_, old)| *old = value.clone());
        Ok(())
    }

    pub fn set_severity(&mut self, severity: &str) -> Result<(), QueryError> {
        if !SEVERITIES.contains(&severity) {
            let says = format!("`{severity}` is none of {}", SEVERITIES.join(", "));
            return Err(QueryError::Param { name: format!("severity of {}", self.name()), says });
        }
        self.severity = Some(severity.to_owned());
        Ok(())
    }

    pub fn severity(&self) -> &str {
        self.severity.as_deref().unwrap_or(&self.detection.severity)
    }

    pub(super) fn window(&self) -> Ticks {
        Ticks::seconds(i64::from(self.detection.window_hours) * 3600)
    }

    pub(super) fn suppress(&self) -> Ticks {
        Ticks::seconds(i64::from(self.detection.suppress_hours) * 3600)
    }

    /// What its findings depend on besides the lake: when that changes, history is looked at again.
    pub(super) fn digest(&self) -> String {
        let own = &self.detection;
        let text = format!(
            "{}\n{:?}\n{}\n{:?}\n{:?}\n{} {}",
            own.sql,
            self.params,
            self.severity(),
            own.actions,
            own.tables,
            own.window_hours,
            own.suppress_hours
        );
        RecordHash::of(text.as_bytes()).to_string()[..16].to_owned()
    }
}
