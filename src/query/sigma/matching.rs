//! Fields and values: what one item of a rule says of a record.

use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::regexp_is_match_scalar;
use rsigma_parser::{Detection, DetectionItem, Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

use super::super::function::Network;
use super::Refused;
use super::field::{TEXTS, column};
use crate::query::quoted;

/// A value that is a text without wildcards.
pub(super) fn plain(value: &SigmaValue) -> Option<String> {
    match value {
        SigmaValue::String(text) => text.as_plain(),
        _ => None,
    }
}

/// What a named part of a rule says, as a condition that is never null.
pub(super) fn matches(own: &Detection) -> Result<String, Refused> {
    match own {
        Detection::AllOf(items) => joined(items.iter().map(item), " and "),
        Detection::AnyOf(some) => joined(some.iter().map(matches), " or "),
        Detection::And(all) => joined(all.iter().map(matches), " and "),
        Detection::Keywords(words) => {
            let texts = format!("concat_ws(' ', {})", TEXTS.join(", "));
            joined(words.iter().map(|word| compare(&texts, &[Modifier::Contains], word)), " or ")
        }
        Detection::ArrayMatch { field, .. } => {
            Err(format!("`{field}` is matched as an array, which no column is"))
        }
        Detection::Conditional { .. } => Err("conditions within arrays are not made".to_owned()),
    }
}

pub(super) fn joined(
    all: impl Iterator<Item = Result<String, Refused>>,
    word: &str,
) -> Result<String, Refused> {
    let all = all.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err("a part of it is empty".to_owned()) } else { Ok(format!("({})", all.join(word))) }
}

fn item(own: &DetectionItem) -> Result<String, Refused> {
    let Some(name) = &own.field.name else {
        let texts = format!("concat_ws(' ', {})", TEXTS.join(", "));
        let is_all = own.field.has_modifier(Modifier::All);
        let each = own.values.iter().map(|word| compare(&texts, &[Modifier::Contains], word));
        return joined(each, if is_all { " and " } else { " or " });
    };
    let field = column(name)?;
    let is_all = own.field.has_modifier(Modifier::All);
    let modifiers: Vec<Modifier> =
        own.field.modifiers.iter().copied().filter(|m| *m != Modifier::All).collect();
    let each = own.values.iter().map(|value| compare(&field, &modifiers, value));
    joined(each, if is_all { " and " } else { " or " }).map_err(|says| format!("`{name}`: {says}"))
}

/// How texts are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Contains,
    Starts,
    Ends,
}

fn compare(field: &str, modifiers: &[Modifier], value: &SigmaValue) -> Result<String, Refused> {
    let has = |one: Modifier| modifiers.contains(&one);
    let flags = [Modifier::IgnoreCase, Modifier::Multiline, Modifier::DotAll, Modifier::Cased, Modifier::Neq];
    let kinds: Vec<Modifier> = modifiers.iter().copied().filter(|m| !flags.contains(m)).collect();
    let found = match kinds.as_slice() {
        [] => text(field, Way::Whole, has(Modifier::Cased), value)?,
        [Modifier::Contains] => text(field, Way::Contains, has(Modifier::Cased), value)?,
        [Modifier::StartsWith] => text(field, Way::Starts, has(Modifier::Cased), value)?,
        [Modifier::EndsWith] => text(field, Way::Ends, has(Modifier::Cased), value)?,
        [Modifier::Re] => regex(field, modifiers, value)?,
        [Modifier::Cidr] => network(field, value)?,
        [Modifier::Exists] => match value {
            SigmaValue::Bool(true) => format!("{field} is not null"),
            SigmaValue::Bool(false) => format!("{field} is null"),
            _ => return Err("`exists` takes true or false".to_owned()),
        },
        [Modifier::FieldRef] => {
            let other = plain(value).ok_or("`fieldref` takes the name of a field")?;
            format!("lower({field}) = lower({})", column(&other)?)
        }
        [order @ (Modifier::Lt | Modifier::Lte | Modifier::Gt | Modifier::Gte)] => {
            let number = match value {
                SigmaValue::Integer(n) => n.to_string(),
                SigmaValue::Float(n) if n.is_finite() => format!("{n:?}"),
                _ => return Err("only a number is less or more".to_owned()),
            };
            let operator = match order {
                Modifier::Lt => "<",
                Modifier::Lte => "<=",
                Modifier::Gt => ">",
                _ => ">=",
            };
            format!("try_cast({field} as double) {operator} {number}")
        }
        others => {
            let names: Vec<String> = others.iter().map(|m| format!("`{}`", name_of(*m))).collect();
            return Err(format!("the modifier {} is not made", names.join(" with ")));
        }
    };
    let never_null = format!("coalesce({found}, false)");
    Ok(if has(Modifier::Neq) { format!("not {never_null}") } else { never_null })
}

fn name_of(modifier: Modifier) -> String {
    serde_json::to_value(modifier).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn text(field: &str, way: Way, is_cased: bool, value: &SigmaValue) -> Result<String, Refused> {
    let own = match value {
        SigmaValue::String(text) => text.clone(),
        SigmaValue::Integer(n) => SigmaString::from_raw(&n.to_string()),
        SigmaValue::Float(n) => SigmaString::from_raw(&n.to_string()),
        SigmaValue::Bool(b) => SigmaString::from_raw(if *b { "true" } else { "false" }),
        SigmaValue::Null if way == Way::Whole => return Ok(format!("{field} is null")),
        SigmaValue::Null => return Err("null is contained in nothing".to_owned()),
    };
    let fold = |text: &str| if is_cased { text.to_owned() } else { text.to_lowercase() };
    let field = if is_cased { field.to_owned() } else { format!("lower({field})") };
    let Some(plain) = own.as_plain() else { return Ok(wildcards(&field, way, &own, fold)) };
    let plain = quoted(&fold(&plain));
    Ok(match way {
        Way::Whole => format!("{field} = {plain}"),
        Way::Contains => format!("strpos({field}, {plain}) > 0"),
        Way::Starts => format!("starts_with({field}, {plain})"),
        Way::Ends => format!("ends_with({field}, {plain})"),
    })
}

/// A text with `*` and `?`: at one end alone it is a comparison, elsewhere a pattern.
fn wildcards(field: &str, way: Way, own: &SigmaString, fold: impl Fn(&str) -> String) -> String {
    let mut pattern = String::from("(?s)");
    if matches!(way, Way::Whole | Way::Starts) {
        pattern.push('^');
    }
    for part in &own.parts {
        match part {
            StringPart::Plain(text) => pattern.push_str(&escaped(&fold(text))),
            StringPart::Special(SpecialChar::WildcardMulti) => pattern.push_str(".*"),
            StringPart::Special(SpecialChar::WildcardSingle) => pattern.push('.'),
        }
    }
    if matches!(way, Way::Whole | Way::Ends) {
        pattern.push('$');
    }
    format!("regexp_like({field}, {})", quoted(&pattern))
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn regex(field: &str, modifiers: &[Modifier], value: &SigmaValue) -> Result<String, Refused> {
    let SigmaValue::String(text) = value else { return Err("`re` takes a pattern".to_owned()) };
    let flags: String = [(Modifier::IgnoreCase, 'i'), (Modifier::Multiline, 'm'), (Modifier::DotAll, 's')]
        .into_iter()
        .filter(|(modifier, _)| modifiers.contains(modifier))
        .map(|(_, flag)| flag)
        .collect();
    let pattern =
        if flags.is_empty() { text.original.clone() } else { format!("(?{flags}){}", text.original) };
    regexp_is_match_scalar(&StringArray::from(vec![""]), &pattern, None)
        .map_err(|e| format!("the pattern `{}` cannot be used: {e}", text.original))?;
    Ok(format!("regexp_like({field}, {})", quoted(&pattern)))
}

fn network(field: &str, value: &SigmaValue) -> Result<String, Refused> {
    let text = plain(value).unwrap_or_default();
    match Network::parse(&text) {
        Some(_) => Ok(format!("in_network({field}, {})", quoted(&text))),
        None => Err(format!("`{text}` is no network, as 10.0.0.0/8 is one")),
    }
}
