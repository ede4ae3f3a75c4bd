//! Takes secrets out of a record before anything of it is stored: the one exception to
//! byte-for-byte. Agent capabilities hold the environment of the machine.

use std::ops::Range;

use memchr::memmem;

use super::json::Fields;

/// Capabilities whose values tell an agent from another and cannot hold a secret.
const HARMLESS: [&str; 9] = [
    "Agent.Name",
    "Agent.Version",
    "Agent.ComputerName",
    "Agent.OS",
    "Agent.OSVersion",
    "Agent.OSArchitecture",
    "Agent.HomeDirectory",
    "InteractiveSession",
    "COMPUTERNAME",
];

/// What stands in place of a value.
const MASK: &str = "\"***\"";

/// Whether a capability's value may be kept.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.iter().any(|h| h.eq_ignore_ascii_case(name))
}

/// The record without its secrets; `None` when it holds none.
pub(super) fn redact(raw: &str) -> Option<String> {
    let suspicious = ["apabilities\"", "\"token\"", "\"authorization\"", "\"parameters\"", "haredSecret\""];
    if !suspicious.iter().any(|s| memmem::find(raw.as_bytes(), s.as_bytes()).is_some()) {
        return None;
    }
    let mut edits = Vec::new();
    object(raw, raw, 0, &mut edits);
    if edits.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(raw.len());
    let mut copied = 0;
    for edit in edits {
        out.push_str(&raw[copied..edit.start]);
        out.push_str(MASK);
        copied = edit.end;
    }
    out.push_str(&raw[copied..]);
    Some(out)
}

const DEEPEST: usize = 8;

fn object(raw: &str, text: &str, depth: usize, edits: &mut Vec<Range<usize>>) {
    if depth > DEEPEST {
        return;
    }
    let Some(fields) = Fields::parse(text) else { return };
    for (key, value) in fields.0 {
        let value = value.get();
        match key.to_ascii_lowercase().as_str() {
            "systemcapabilities" | "usercapabilities" => {
                for (name, value) in Fields::parse(value).unwrap_or_default().0 {
                    if !is_harmless(&name) {
                        mask(raw, value.get(), edits);
                    }
                }
            }
            "token"
            | "password"
            | "accesstoken"
            | "apitoken"
            | "sharedsecret"
            | "serviceprincipalkey"
            | "splunkeventcollectortoken" => {
                mask(raw, value, edits);
            }
            _ if value.starts_with('{') => object(raw, value, depth + 1, edits),
            _ if value.starts_with('[') => {
                let items: Vec<&serde_json::value::RawValue> =
                    serde_json::from_str(value).unwrap_or_default();
                items
                    .iter()
                    .filter(|i| i.get().starts_with('{'))
                    .for_each(|i| object(raw, i.get(), depth + 1, edits));
            }
            _ => {}
        }
    }
}

/// Masks a value that says something; `value` is a part of `raw`.
fn mask(raw: &str, value: &str, edits: &mut Vec<Range<usize>>) {
    if matches!(value, "null" | "\"\"" | MASK) || !value.starts_with('"') {
        return;
    }
    let start = value.as_ptr() as usize - raw.as_ptr() as usize;
    edits.push(start..start + value.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_the_environment_and_keeps_the_name() {
        let raw =
            r#"{"id":1,"systemCapabilities":{"Agent.ComputerName":"vm1","AWS_SECRET":"hush","n":null}}"#;
        let out = redact(raw).unwrap();
        assert_eq!(
            out,
            r#"{"id":1,"systemCapabilities":{"Agent.ComputerName":"vm1","AWS_SECRET":"***","n":null}}"#
        );
        assert_eq!(redact(&out), None);
        assert_eq!(redact(r#"{"token":null,"x":1}"#), None);
    }
}
