//! The condition of a rule: which of its parts must match.

use std::collections::HashMap;

use rsigma_parser::{ConditionExpr, Detection, Quantifier};

use super::Refused;
use super::matching::{joined, matches};

/// A condition as SQL, never null.
pub(super) fn condition(own: &ConditionExpr, named: &HashMap<String, Detection>) -> Result<String, Refused> {
    match own {
        ConditionExpr::And(all) => joined(all.iter().map(|one| condition(one, named)), " and "),
        ConditionExpr::Or(some) => joined(some.iter().map(|one| condition(one, named)), " or "),
        ConditionExpr::Not(inner) => Ok(format!("(not {})", condition(inner, named)?)),
        ConditionExpr::Identifier(name) => part(name, named),
        ConditionExpr::Selector { quantifier, pattern } => {
            let mut names: Vec<&String> =
                named.keys().filter(|name| pattern.matches_detection_name(name)).collect();
            names.sort();
            if names.is_empty() {
                return Err(format!("the condition `{own}` names no part of it"));
            }
            let parts = names.iter().map(|name| part(name, named));
            match quantifier {
                Quantifier::Any => joined(parts, " or "),
                Quantifier::All => joined(parts, " and "),
                Quantifier::Count(n) => {
                    let each = parts.map(|part| part.map(|part| format!("cast({part} as bigint)")));
                    Ok(format!("({} >= {n})", joined(each, " + ")?))
                }
            }
        }
    }
}

fn part(name: &str, named: &HashMap<String, Detection>) -> Result<String, Refused> {
    let own =
        named.get(name).ok_or_else(|| format!("the condition names `{name}`, which it does not have"))?;
    matches(own).map_err(|says| format!("{name}: {says}"))
}

/// The parts that must match whatever else does.
pub(super) fn required(own: &ConditionExpr) -> Vec<&str> {
    match own {
        ConditionExpr::Identifier(name) => vec![name],
        ConditionExpr::And(all) => all.iter().flat_map(required).collect(),
        _ => Vec::new(),
    }
}
