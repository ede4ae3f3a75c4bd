//! Takes secrets out of a record before anything of it is stored: the one exception to
//! byte-for-byte. Agent capabilities hold the environment of the machine.

use std::ops::Range;

use memchr::memmem;

use super::hide::hide;
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

/// Members whose value is a secret, in lower case.
pub(super) const SECRET: [&str; 7] = [
    "token",
    "password",
    "accesstoken",
    "apitoken",
    "sharedsecret",
    "serviceprincipalkey",
    "splunkeventcollectortoken",
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
    if object(raw, raw, 0, &mut edits).is_none() {
        // A name that is no text, or more nesting than anybody sends: what is in there must be masked, too.
        return hide(raw.as_bytes()).and_then(|clean| String::from_utf8(clean).ok());
    }
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

/// Notes the secrets of an object; `None` when it cannot be read.
fn object(raw: &str, text: &str, depth: usize, edits: &mut Vec<Range<usize>>) -> Option<()> {
    let fields = Fields::parse(text).filter(|_| depth <= DEEPEST)?;
    for (key, value) in fields.0 {
        let value = value.get();
        match key.to_ascii_lowercase().as_str() {
            "systemcapabilities" | "usercapabilities" => match value.as_bytes().first() {
                Some(b'{') => {
                    for (name, value) in Fields::parse(value)?.0 {
                        if !is_harmless(&name) {
                            mask(raw, value.get(), edits);
                        }
                    }
                }
                _ => mask(raw, value, edits),
            },
            name if SECRET.contains(&name) && value.starts_with('"') => mask(raw, value, edits),
            _ if value.starts_with('{') => object(raw, value, depth + 1, edits)?,
            _ if value.starts_with('[') => {
                let items: Vec<&serde_json::value::RawValue> =
                    serde_json::from_str(value).unwrap_or_default();
                for item in items.iter().filter(|i| i.get().starts_with('{')) {
                    object(raw, item.get(), depth + 1, edits)?;
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// Masks a value that says something; `value` is a part of `raw`.
fn mask(raw: &str, value: &str, edits: &mut Vec<Range<usize>>) {
    if matches!(value, "null" | "\"\"" | MASK) || !value.starts_with(['"', '{', '[']) {
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

    #[test]
    fn what_cannot_be_read_is_masked_all_the_same() {
        let lone = r#"{"systemCapabilities":{"\ud800":"hush","Agent.OS":"Linux"}}"#;
        assert_eq!(redact(lone).unwrap(), lone.replace("hush", "***"));
        let deep =
            format!("{}{}{}", r#"{"a":"#.repeat(12), r#"{"userCapabilities":{"x":"hush"}}"#, "}".repeat(12));
        assert_eq!(redact(&deep).unwrap(), deep.replace("hush", "***"));
        let nested = r#"{"userCapabilities":{"x":{"y":"hush"},"z":["hush"],"n":1}}"#;
        assert_eq!(redact(nested).unwrap(), r#"{"userCapabilities":{"x":"***","z":"***","n":1}}"#);
    }
}
