//! How a message is written: the header of RFC 5424, and CEF, LEEF or JSON behind it.
//!
//! Sources: RFC 5424 section 6; ArcSight "Common Event Format" (escapes: `\` and `|` in the header, `\` and `=`
//! in values, line ends as `\n` and `\r` in values only); IBM "LEEF event components" (no escapes are
//! defined, so what separates is replaced in values).

use serde_json::{Map, Value};

use super::super::{Item, line};
use super::Body;

const VENDOR: &str = "agentrail";
const PRODUCT: &str = "agentrail";
/// Columns of a row that stand in the header of CEF and LEEF.
const HEADER: [&str; 3] = ["signature", "name", "severity"];

/// One message, without framing.
pub(super) fn message(item: &Item, body: Body, facility: u8, host: &str) -> Vec<u8> {
    let severity = item.body.get("severity").and_then(number);
    let pri = u32::from(facility) * 8 + level(severity.filter(|_| body != Body::Json));
    let id = match body {
        Body::Cef => "CEF",
        Body::Leef => "LEEF",
        Body::Json => "JSON",
    };
    let process = std::process::id();
    // Six digits of a second are what the RFC allows.
    let at = item.occurred.to_string();
    let at = at.get(..26).map_or_else(|| "-".to_owned(), |at| format!("{at}Z"));
    let mut out = format!("<{pri}>1 {at} {host} agentrail {process} {id} - ").into_bytes();
    match body {
        Body::Cef => out.extend(cef(&item.body).into_bytes()),
        Body::Leef => out.extend(leef(&item.body).into_bytes()),
        Body::Json => out.extend(line(&item.body)),
    }
    out
}

/// The severity of syslog that one of 0 to 10 stands for; without one it is a notice.
fn level(severity: Option<i64>) -> u32 {
    match severity {
        None => 5,
        Some(9..) => 2,
        Some(7..=8) => 3,
        Some(4..=6) => 4,
        Some(1..=3) => 5,
        Some(_) => 6,
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// A word of the header: printable ASCII without blanks.
pub(super) fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A value as the text it stands for; what is nested stays JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn header(body: &Map<String, Value>, name: &str) -> String {
    body.get(name).map(text).unwrap_or_default()
}

/// The members behind the header; empty ones are left out.
fn extension(body: &Map<String, Value>) -> impl Iterator<Item = (&str, String)> {
    let own = body.iter().filter(|(name, _)| !HEADER.contains(&name.as_str()));
    own.map(|(name, value)| (name.as_str(), text(value))).filter(|(_, value)| !value.is_empty())
}

/// `CEF:0|vendor|product|version|signature|name|severity| k=v k=v`.
pub(super) fn cef(body: &Map<String, Value>) -> String {
    let of_header = |text: &str| {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.replace('\\', "\\\\").replace('|', "\\|")
    };
    let of_value = |text: &str| {
        let escaped =
            text.replace('\\', "\\\\").replace('=', "\\=").replace('\r', "\\r").replace('\n', "\\n");
        escaped.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
    };
    let [signature, name, severity] = HEADER.map(|name| of_header(&header(body, name)));
    let version = env!("CARGO_PKG_VERSION");
    let pairs: Vec<String> =
        extension(body).map(|(name, value)| format!("{name}={}", of_value(&value))).collect();
    // The blank before the first key is for liblognorm, which rsyslog reads CEF with: without it, it loses the
    // key's first letter. Others pass over it.
    format!("CEF:0|{VENDOR}|{PRODUCT}|{version}|{signature}|{name}|{severity}| {}", pairs.join(" "))
}

/// `LEEF:2.0|vendor|product|version|id|x09|k=v<tab>k=v`.
pub(super) fn leef(body: &Map<String, Value>) -> String {
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let id = plain(&header(body, "signature")).replace('|', " ");
    let version = env!("CARGO_PKG_VERSION");
    let mut pairs: Vec<String> = Vec::new();
    for (key, name) in [("name", "name"), ("sev", "severity")] {
        let value = plain(&header(body, name));
        if !value.is_empty() && !body.contains_key("sev") {
            pairs.push(format!("{key}={value}"));
        }
    }
    pairs.extend(extension(body).map(|(name, value)| format!("{name}={}", plain(&value))));
    format!("LEEF:2.0|{VENDOR}|{PRODUCT}|{version}|{id}|x09|{}", pairs.join("\t"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Time;

    fn body(value: Value) -> Map<String, Value> {
        let Value::Object(body) = value else { unreachable!() };
        body
    }

    #[test]
    fn cef_escapes_what_separates_and_nothing_else() {
        let row = body(json!({
            "signature": "Git.Push|x", "name": "a \\ b\nc", "severity": 3,
            "msg": "k=v | \\ one\r\ntwo\u{7}", "cn1": 7, "empty": "", "none": null,
        }));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            cef(&row),
            format!(
                "CEF:0|agentrail|agentrail|{version}|Git.Push\\|x|a \\\\ b c|3| cn1=7 msg=k\\=v | \\\\ one\\r\\ntwo "
            )
        );
    }

    #[test]
    fn leef_has_no_escapes_so_what_separates_is_replaced() {
        let row = body(json!({ "signature": "a|b", "name": "n", "severity": 5, "usrName": "x\ty\nz" }));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            leef(&row),
            format!("LEEF:2.0|agentrail|agentrail|{version}|a b|x09|name=n\tsev=5\tusrName=x y z")
        );
    }

    #[test]
    fn a_message_begins_as_rfc_5424_has_it() {
        let item = Item {
            key: "k".to_owned(),
            occurred: Time::parse("2026-03-05T10:00:00.25Z").unwrap_or(Time(0)),
            organization: None,
            updated: false,
            body: body(json!({ "severity": 8, "name": "n", "signature": "s" })),
        };
        let text = String::from_utf8(message(&item, Body::Cef, 13, "host")).unwrap();
        let process = std::process::id();
        let head = format!("<107>1 2026-03-05T10:00:00.250000Z host agentrail {process} CEF - CEF:0|");
        assert!(text.starts_with(&head), "{text}");
        let json = String::from_utf8(message(&item, Body::Json, 13, "host")).unwrap();
        assert!(
            json.starts_with("<109>1 ")
                && json.ends_with("{\"name\":\"n\",\"severity\":8,\"signature\":\"s\"}")
        );
    }

    #[test]
    fn a_word_of_the_header_has_no_blanks() {
        assert_eq!(word("a b\u{e4}c", 10), "abc");
        assert_eq!(word("", 10), "-");
        assert_eq!(word("abcdef", 3), "abc");
    }
}
