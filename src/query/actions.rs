//! The action ids that Azure DevOps documents for its audit log, and what it does not audit at all.
//!
//! `queries/actions.csv` holds them with area and category, as Microsoft's list of auditing events had them at
//! the end of 2024, and those that records and rules of the field name besides.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One action of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: &'static str,
    pub area: &'static str,
    pub category: &'static str,
}

/// What leaves no record in the audit log, whatever a detection asks, and what tells of it instead.
pub const NOT_AUDITED: [(&str, &str); 6] = [
    (
        "reads of code, logs, variables, connections and permissions, also in bursts",
        "nothing, but for the sign-in before them",
    ),
    (
        "use of a personal access token or SSH key",
        "the authentication mechanism of the records that its writes leave",
    ),
    ("an agent enabled or disabled", "the agents that `run` polls: report agent_drift"),
    ("jobs, and on which agent they run", "the job requests that `run` polls: view jobs"),
    ("sign-ins, and tokens of a service principal", "the sign-in logs of Entra ID: view signins"),
    ("anything on Azure DevOps Server, which has no audit log", "nothing"),
];

/// All known actions, by id.
pub fn actions() -> &'static [Action] {
    static ACTIONS: LazyLock<Vec<Action>> = LazyLock::new(|| {
        let one = |line: &'static str| {
            let mut cells = line.split(',');
            let mut next = || cells.next().unwrap_or_default().trim();
            Action { id: next(), area: next(), category: next() }
        };
        include_str!("../../queries/actions.csv").lines().skip(1).map(one).collect()
    });
    &ACTIONS
}

/// Whether a pattern of a detection names an action: an id, a prefix with `*` behind it, or `*`.
pub fn names(pattern: &str, action: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => action.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => pattern.eq_ignore_ascii_case(action),
    }
}

/// The actions by area that none of these patterns names; one that names any action watches none in particular.
pub fn silent(patterns: &[&str]) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for action in actions() {
        if !patterns.iter().any(|pattern| *pattern != "*" && names(pattern, action.id)) {
            out.entry(action.area).or_default().push(action.id);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_each_action_once() {
        assert!(actions().len() > 200);
        for (one, next) in actions().iter().zip(&actions()[1..]) {
            assert!(one.id < next.id, "{} {}", one.id, next.id);
            // Of some the lists of the field give no category.
            assert!(!one.area.is_empty(), "{}", one.id);
        }
        assert!(names("Security.*", "Security.ModifyPermission") && !names("Security.*", "Secur"));
        let left = silent(&["*", "Git.*"]);
        assert!(!left.contains_key("Git") && left.contains_key("Library"));
        assert!(names("*", "x") && names("Git.X", "git.x") && !names("Git.X", "Git.XY"));
    }
}
