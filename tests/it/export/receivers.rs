//! The doubles of tests/peer/receivers as a process, and the certificates of a run.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::lake::{Scratch, request};
use crate::readers::python;

pub fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer").join(name)
}

/// A certificate for this machine that signs itself, and its key, as PEM files.
#[derive(Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn new(scratch: &Scratch, name: &str) -> Certificate {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let chain = scratch.file(&format!("{name}.pem"), own.cert.pem());
        let key = scratch.file(&format!("{name}.key"), own.signing_key.serialize_pem());
        Certificate { chain, key }
    }
}

/// The receivers; killed with the value.
pub struct Receivers {
    process: Child,
    settings: Value,
    pub folder: PathBuf,
    pub port: u16,
    control: u16,
}

impl Receivers {
    /// Starts them, if Python is there.
    pub fn start(folder: &Path, settings: Value) -> Option<Receivers> {
        let (process, ports) = launch(folder, &settings)?;
        Some(Receivers { process, settings, folder: folder.to_owned(), port: ports.0, control: ports.1 })
    }

    /// Ends them without a word, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts them again on the same ports, with what they had taken.
    pub fn again(&mut self) {
        self.settings["port"] = json!(self.port);
        self.settings["control"] = json!(self.control);
        let (process, ports) = launch(&self.folder, &self.settings).unwrap();
        assert_eq!(ports, (self.port, self.control));
        self.process = process;
    }

    /// Commands faults or settings.
    pub fn say(&self, wanted: &Value) {
        let address = format!("127.0.0.1:{}", self.control);
        let (status, _) = request(&address, "POST", "/", &[], wanted.to_string().as_bytes()).unwrap();
        assert_eq!(status, 200, "{wanted}");
    }

    fn ask(&self, path: &str) -> String {
        let address = format!("127.0.0.1:{}", self.control);
        request(&address, "GET", path, &[], b"").unwrap().1
    }

    /// What a receiver took: lines with `n`, `id` and `item`. Read from the file, so also while it is down.
    pub fn seen(&self, service: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("seen.ndjson")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["service"] == service).collect()
    }

    /// The requests that were answered or cut, since the last start.
    pub fn requests(&self) -> Vec<Value> {
        serde_json::from_str(&self.ask("/_requests")).unwrap()
    }

    /// What was not as the documentation has it, since the last start.
    pub fn complaints(&self) -> Vec<String> {
        serde_json::from_str(&self.ask("/_complaints")).unwrap()
    }

    /// How often each fault was met.
    pub fn felt(&self, kind: &str) -> u64 {
        let felt: Value = serde_json::from_str(&self.ask("/_felt")).unwrap();
        felt[kind].as_u64().unwrap_or_default()
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, settings: &Value) -> Option<(Child, (u16, u16))> {
    let mut command = Command::new(python()?);
    command.arg(peer("receivers")).arg(folder).arg(settings.to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let line = first_line(&mut process);
    let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();
    Some((process, (ports[0], ports[1])))
}

/// What a process says once it is ready.
pub fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "it ended before it was ready");
    line
}
