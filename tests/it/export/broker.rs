//! librdkafka's broker double as a process: a Kafka cluster whose faults are commanded.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::receivers::{first_line, peer};
use crate::lake::request;
use crate::readers::python;

/// A cluster with the topic `agentrail`; gone with the value.
pub struct Brokers {
    process: Child,
    /// `host:port` of each, with commas between.
    pub addresses: String,
    control: String,
}

impl Brokers {
    pub fn start(brokers: u32, partitions: u32) -> Option<Brokers> {
        let mut command = Command::new(python()?);
        command.arg(peer("broker.py")).args([brokers.to_string(), partitions.to_string()]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let line = first_line(&mut process);
        let (addresses, port) = line.trim().split_once(' ').unwrap();
        let control = format!("127.0.0.1:{port}");
        Some(Brokers { process, addresses: addresses.to_owned(), control })
    }

    pub fn say(&self, wanted: &Value) {
        let said = request(&self.control, "POST", "/", &[], wanted.to_string().as_bytes());
        assert_eq!(said.unwrap().0, 200);
    }

    /// All records, by partition and offset.
    pub fn seen(&self) -> Vec<Value> {
        let (status, text) = request(&self.control, "GET", "/_seen", &[], b"").unwrap();
        assert_eq!(status, 200);
        let mut seen: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        seen.sort_by_key(|line| (line["partition"].as_i64(), line["offset"].as_i64()));
        seen
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
