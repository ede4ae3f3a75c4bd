//! The doubles are what somebody else's clients expect of Splunk, Elasticsearch, Sentinel and a collector.

use std::process::Command;

use super::receivers::{Certificate, peer};
use crate::lake::Scratch;
use crate::readers::python;

#[test]
fn clients_of_others_take_the_doubles_for_what_they_are() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let (own, other) = (Certificate::new(&scratch, "own"), Certificate::new(&scratch, "other"));
    let files = [scratch.path("receivers"), own.chain, own.key, other.chain, other.key];
    let mut command = Command::new(python);
    command.arg(peer("clients.py")).args(&files).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{says}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(says.ends_with("all was seen\n"), "{says}");
}
