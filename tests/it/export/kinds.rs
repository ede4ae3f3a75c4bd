//! The destinations over HTTP, each with the settings that its receiver wants.

use serde_json::{Value, json};

use super::receivers::Receivers;
use super::rig::Rig;

/// A destination with its receivers, and a lake.
pub struct Pair {
    pub rig: Rig,
    pub receivers: Receivers,
    pub name: &'static str,
}

/// As `id:key`, in base64.
pub const API_KEY: &str = "aWQtb2YtdGhlLWtleTpzZWNyZXQtb2YtdGhlLWtleQ==";

impl Pair {
    /// `more` are further settings of the destination, `settings` those of the receiver.
    pub fn new(name: &'static str, tls: bool, more: &str, settings: Value) -> Option<Pair> {
        let mut rig = Rig::new();
        let receivers = rig.receivers("receivers", tls, json!({ name: settings }))?;
        rig.environment = vec![
            ("IDENTITY_ENDPOINT".to_owned(), format!("http://127.0.0.1:{}/msi/token", receivers.port)),
            ("IDENTITY_HEADER".to_owned(), "header-of-the-machine".to_owned()),
        ];
        let pair = Pair { rig, receivers, name };
        pair.configure(tls, more);
        Some(pair)
    }

    pub fn configure(&self, tls: bool, more: &str) {
        let (scheme, port) = (if tls { "https" } else { "http" }, self.receivers.port);
        let path = if self.name == "webhook" { "/hook" } else { "" };
        let own = [
            ("splunk", "token = \"11111111-2222-4333-8444-555555555555\"\nindex = \"azuredevops\"\n".to_owned()),
            (
                "sentinel",
                "rule = \"dcr-00000000000000000000000000000001\"\nstream = \"Custom-AzureDevOpsActions_CL\"\n".to_owned(),
            ),
            ("elastic", format!("token = \"{API_KEY}\"\nindex = \"logs-azuredevops.audit-default\"\n")),
        ];
        let own = own.iter().find(|(name, _)| *name == self.name).map_or("", |(_, text)| text);
        // What is set twice would be no TOML: the last one counts.
        let mut lines: Vec<(&str, &str)> = Vec::new();
        let base = format!(
            "name = \"soc\"\nkind = \"{}\"\nurl = \"{scheme}://localhost:{port}{path}\"\nwhat = [\"events\"]\n\
             timeout = 60\nitems = 25\n",
            self.name
        );
        let tls =
            if tls { format!("authorities = \"{}\"\n", self.rig.own.chain.display()) } else { String::new() };
        let all = format!("{base}{own}{tls}{more}");
        for line in all.lines() {
            let (name, value) = line.split_once(" = ").unwrap();
            lines.retain(|(before, _)| *before != name);
            lines.push((name, value));
        }
        let text: String = lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        self.rig.configure(&format!("[[export.destinations]]\n{text}"));
    }

    pub fn seen(&self) -> Vec<Value> {
        self.receivers.seen(self.name)
    }

    pub fn keys(&self) -> Vec<String> {
        super::rig::keys_of(&self.seen())
    }

    pub fn fault(&self, fault: Value) {
        self.receivers.say(&json!({ "faults": [fault] }));
    }
}
