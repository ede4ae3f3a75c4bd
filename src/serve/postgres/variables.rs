//! The settings of one connection: what drivers set when they connect, and what they ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use pgwire::error::PgWireResult;

use super::refused::error;
use super::statement::is_utf8;

/// What there is, and what it is before anybody sets it.
pub(super) const KNOWN: [(&str, &str); 27] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];
/// What nobody can set.
const FIXED: [&str; 9] = [
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "server_encoding",
    "server_version",
    "server_version_num",
    "transaction_isolation",
];

/// The version that clients take for what they can use.
pub(super) const SERVER_VERSION: &str = "16.6";

/// The settings of a connection that differ from those above.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn show(&self, name: &str) -> PgWireResult<String> {
        // SQL has words of its own for some.
        let name = match name {
            "time_zone" => "timezone",
            "transaction_isolation_level" => "transaction_isolation",
            other => other,
        };
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        self.0.get(name).cloned().or(known).ok_or_else(|| unknown(name))
    }

    pub fn set(&mut self, name: &str, value: &str) -> PgWireResult<()> {
        if !KNOWN.iter().any(|(known, _)| *known == name) {
            return Err(unknown(name));
        }
        let refused = |why: &str| Err(error("22023", format!("failed to set {name} to `{value}`: {why}")));
        let is_on = ["on", "true", "yes", "1"].contains(&value.to_lowercase().as_str());
        match name {
            _ if FIXED.contains(&name) => return refused("it cannot be changed"),
            _ if value.eq_ignore_ascii_case("default") => {
                self.0.remove(name);
                return Ok(());
            }
            "default_transaction_read_only" | "transaction_read_only" if !is_on => {
                return refused("this server only reads");
            }
            "standard_conforming_strings" if !is_on => return refused("strings follow the standard here"),
            "search_path" if !is_public_first(value) => {
                return refused("names alone are those of `public`; write `lake.` before those of `lake`");
            }
            "timezone" if !is_utc(value) => {
                return refused("times are given in UTC; write `occurred at time zone 'Europe/Berlin'`");
            }
            "client_encoding" if !is_utf8(value) => return refused("only UTF8 is spoken"),
            "statement_timeout" if span(value).is_none() => {
                return refused("write milliseconds, or a number with ms, s or min");
            }
            _ => {}
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Takes what a client says as it connects: what is not here, or would be otherwise, stays as it is, for
    /// drivers send the zone of their machine unasked.
    pub fn begin<'a>(&mut self, said: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in said {
            if name == "options" {
                // `-c name=value`, or `--name=value`; a backslash keeps a space.
                let options = value.replace("\\ ", "\u{0}");
                let options = options.split_whitespace().filter_map(|option| {
                    let option = option.strip_prefix("--").or(option.strip_prefix("-c")).unwrap_or(option);
                    option.split_once('=')
                });
                for (name, value) in options {
                    let _ = self.set(&name.replace('-', "_").to_lowercase(), &value.replace('\u{0}', " "));
                }
            } else {
                let _ = self.set(&name.to_lowercase(), value);
            }
        }
    }

    /// Back to what it was; `None` means all.
    pub fn reset(&mut self, name: Option<&str>) {
        match name {
            Some(name) => _ = self.0.remove(name),
            None => self.0.clear(),
        }
    }

    /// How long a statement may take, where the client says so.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.get("statement_timeout").and_then(|text| span(text)).filter(|span| !span.is_zero())
    }
}

/// Whether names alone would be those of `public`, as they are.
fn is_public_first(path: &str) -> bool {
    let mut schemas =
        path.split(',').map(|name| name.trim().trim_matches(['"', '\''])).map(str::to_lowercase);
    schemas.find(|name| name == "public" || name == "lake").is_none_or(|name| name == "public")
}

fn is_utc(zone: &str) -> bool {
    let zone = zone.trim_matches(['\'', '"']).to_lowercase();
    ["utc", "gmt", "etc/utc", "etc/gmt", "zulu", "z", "0", "+00", "+00:00", "greenwich", "uct"]
        .contains(&zone.as_str())
}

fn unknown(name: &str) -> pgwire::error::PgWireError {
    error("42704", format!("failed to find the setting `{name}`: this server does not have it"))
}

/// A span as PostgreSQL writes it: a number of milliseconds, or with a unit.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.saturating_mul(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_settings_of_its_own_and_none_that_harm() {
        let mut own = Variables::default();
        own.set("statement_timeout", "1500").unwrap();
        assert_eq!(own.timeout(), Some(Duration::from_millis(1500)));
        own.set("statement_timeout", "2 min").unwrap();
        assert_eq!(own.timeout(), Some(Duration::from_secs(120)));
        own.set("statement_timeout", "0").unwrap();
        assert_eq!(own.timeout(), None);
        for (name, value) in [
            ("statement_timeout", "soon"),
            ("client_encoding", "LATIN1"),
            ("transaction_read_only", "off"),
            ("server_version", "9.1"),
            ("datafusion.execution.batch_size", "1"),
            ("allow_system_table_mods", "on"),
            ("search_path", "lake, public"),
            ("timezone", "Europe/Berlin"),
        ] {
            assert!(own.set(name, value).is_err(), "{name}");
        }
        for (name, value) in [("search_path", "\"$user\", public, lake"), ("timezone", "\"Etc/UTC\"")] {
            own.set(name, value).unwrap();
        }
        own.set("application_name", "psql").unwrap();
        assert_eq!(own.show("application_name").unwrap(), "psql");
        own.reset(None);
        assert_eq!(own.show("application_name").unwrap(), "");
        assert_eq!(own.show("time_zone").unwrap(), "UTC");
        assert!(own.show("shared_buffers").is_err());
        let options = "-c statement_timeout=500ms --application-name=a\\ b -c nothing=1";
        own.begin([("options", options), ("TimeZone", "Asia/Tokyo"), ("user", "ada")].into_iter());
        assert_eq!(own.timeout(), Some(Duration::from_millis(500)));
        assert_eq!(own.show("application_name").unwrap(), "a b");
        assert_eq!(own.show("timezone").unwrap(), "UTC");
    }
}
