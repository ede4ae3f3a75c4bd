//! The operator's own statements of which agents and machines bear which identity, as TOML, CSV or JSON.

use core::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use super::json::{Fields, text};
use super::{Sink, facts};
use crate::model::{Reason, Statement, Time};

const MEMBERS: [&str; 11] = [
    "organization",
    "pool",
    "agent",
    "machine",
    "identity",
    "identity_kind",
    "identity_name",
    "resource",
    "addresses",
    "from",
    "until",
];

/// Whether a body is an inventory as TOML or CSV; one as JSON is told by its member `inventory`.
pub(super) fn is_table(body: &[u8]) -> bool {
    is_toml(body) || is_csv(body)
}

fn is_toml(body: &[u8]) -> bool {
    let mut lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .is_some_and(|line| line == b"[[inventory]]")
}

fn is_csv(body: &[u8]) -> bool {
    let line = body.split(|b| *b == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(line.get(..1024).unwrap_or(line)).to_ascii_lowercase();
    let names: Vec<&str> = header.trim().split(',').map(|name| name.trim_matches(['"', ' '])).collect();
    (names.contains(&"agent") || names.contains(&"machine"))
        && names.iter().all(|name| MEMBERS.contains(name))
}

/// Reads the statements of a TOML or CSV inventory, each as the JSON record it stands for.
pub(super) fn walk<'a>(body: &'a [u8], sink: &mut Sink<'a, '_>) {
    let Ok(whole) = std::str::from_utf8(body) else {
        return sink.reject(Reason::Encoding, "the inventory is not UTF-8", body);
    };
    if is_csv(body) {
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(body);
        let header: Vec<String> =
            reader.headers().map(|h| h.iter().map(str::to_ascii_lowercase).collect()).unwrap_or_default();
        let mut row = csv::StringRecord::new();
        loop {
            let start = reader.position().byte() as usize;
            let more = reader.read_record(&mut row);
            let end = reader.position().byte() as usize;
            let raw = body.get(start..end).unwrap_or_default().trim_ascii();
            match more {
                Ok(false) => return,
                Ok(true) if row.len() == header.len() => {
                    let members = header.iter().zip(&row).filter(|(_, value)| !value.is_empty());
                    one(members.map(|(name, value)| (name.clone(), json!(value))).collect(), sink);
                }
                Ok(true) => {
                    let line = row.position().map_or(0, csv::Position::line);
                    let says =
                        format!("line {line} of the inventory has another number of fields than its header");
                    sink.reject(Reason::Syntax, says, raw);
                }
                Err(error) => {
                    sink.reject(Reason::Syntax, format!("the inventory cannot be read: {error}"), raw);
                    if end <= start {
                        return;
                    }
                }
            }
        }
    }
    let table: toml::Table = match whole.parse() {
        Ok(table) => table,
        Err(error) => {
            let says = format!("the inventory is no TOML: {}", error.to_string().replace('\n', " "));
            return sink.reject(Reason::Syntax, says, body);
        }
    };
    for statement in table.get("inventory").and_then(toml::Value::as_array).into_iter().flatten() {
        match plain(statement) {
            Json::Object(members) => one(members, sink),
            _ => sink.reject(Reason::UnknownShape, "`inventory` holds something that is no table", body),
        }
    }
}

/// Reads one statement as a record of its own.
pub(super) fn one(members: Map<String, Json>, sink: &mut Sink<'_, '_>) {
    let record = json!({"inventory": members}).to_string();
    sink.owned(None, record.as_str(), |raw, inner| {
        facts::take(raw, &Fields::parse(raw).unwrap_or_default(), inner);
    });
}

/// A TOML value as JSON, its times as text.
fn plain(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Array(items) => items.iter().map(plain).collect(),
        toml::Value::Table(table) => {
            table.iter().map(|(name, value)| (name.clone(), plain(value))).collect::<Map<_, _>>().into()
        }
        other => json!(other.to_string()),
    }
}

/// What a statement says, or what is wrong with it.
pub(super) fn statement(fields: &Fields<'_>) -> Result<(Option<String>, Statement), String> {
    if let Some((unknown, _)) = fields.0.iter().find(|(name, _)| !MEMBERS.contains(&name.as_ref())) {
        return Err(format!("the inventory knows no `{unknown}`; it knows {}", MEMBERS.join(", ")));
    }
    let word = |name: &str| fields.text(name).map(std::borrow::Cow::into_owned).filter(|t| !t.is_empty());
    let time = |name: &str| match word(name) {
        None => Ok(None),
        Some(text) => match Time::parse(&text).or_else(|| Time::parse(&format!("{text}T00:00:00Z"))) {
            Some(time) => Ok(Some(time)),
            None => Err(format!("`{name}` of the inventory is no RFC 3339 time: {text}")),
        },
    };
    let addresses = match fields.get("addresses") {
        Some(list) if list.starts_with('[') => serde_json::from_str::<Vec<String>>(list)
            .map_err(|_| "`addresses` of the inventory is no list of texts".to_owned())?,
        Some(one) => {
            text(one).map(|t| t.split(';').map(|a| a.trim().to_owned()).collect()).unwrap_or_default()
        }
        None => Vec::new(),
    };
    if let Some(wrong) = addresses.iter().find(|address| network(address).is_none()) {
        return Err(format!("`addresses` of the inventory holds no address or network: {wrong}"));
    }
    let statement = Statement {
        pool: word("pool"),
        agent: word("agent"),
        machine: word("machine"),
        identity: word("identity").map(|id| id.to_ascii_lowercase()),
        identity_kind: word("identity_kind").unwrap_or_else(|| "managed_identity".to_owned()),
        identity_name: word("identity_name"),
        resource: word("resource"),
        addresses,
        from: time("from")?,
        until: time("until")?,
    };
    if statement.agent.is_none() && statement.machine.is_none() {
        return Err("a statement of the inventory names neither `agent` nor `machine`".to_owned());
    }
    if statement.identity.is_none() && statement.resource.is_none() && statement.addresses.is_empty() {
        return Err("a statement of the inventory names no `identity`, `resource` or `addresses`".to_owned());
    }
    if matches!((statement.from, statement.until), (Some(from), Some(until)) if until <= from) {
        return Err("a statement of the inventory ends before it begins".to_owned());
    }
    Ok((word("organization"), statement))
}

/// An address, or a network as `address/bits`.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() { all } else { bits.parse().ok().filter(|b| *b <= all)? };
    Some((address, bits))
}
