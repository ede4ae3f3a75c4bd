//! A lake on object storage, and what is ingested from there: against Azurite, Microsoft's emulator, and against moto, an S3 of others.

mod azurite;
mod files;
mod identity;
mod s3;

use std::path::Path;
use std::process::{Child, Command, Output};

use crate::lake::{Scratch, audit_record};

/// A lake at a URL, and what reaches it.
struct Remote {
    scratch: Scratch,
    url: String,
    environment: Vec<(&'static str, String)>,
    /// The same for Python's `deltalake`.
    options: serde_json::Value,
}

impl Remote {
    /// The program with these arguments on this lake.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(arguments);
        command.env("AGENTRAIL_LAKE", &self.url).envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that must end well.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}\n{error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn ingest(&self, paths: &[&Path]) -> serde_json::Value {
        let mut arguments = vec!["ingest", "--format", "json"];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// Starts an ingest beside others.
    fn start(&self, paths: &[&Path], failpoint: Option<&str>) -> Child {
        let mut arguments = vec!["ingest"];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        let mut command = self.command(&arguments);
        command.stdout(std::process::Stdio::null());
        // A failpoint ends it with a signal, and says nothing worth reading.
        if let Some(name) = failpoint {
            command.env("AGENTRAIL_FAILPOINT", name).stderr(std::process::Stdio::null());
        }
        command.spawn().unwrap()
    }

    fn count(&self, statement: &str) -> i64 {
        let text = self.ok(&["sql", "--format", "csv", statement]);
        text.lines().nth(1).unwrap().parse().unwrap()
    }

    /// How many rows of `events` there are, and how many ids, as another reader of Delta tables has it;
    /// all of its files must be there.
    fn counted_by_deltalake(&self, python: &str) -> String {
        crate::readers::run(
            python,
            "import sys, json, deltalake\n\
             t = deltalake.DeltaTable(sys.argv[1] + '/events', storage_options=json.loads(sys.argv[2]))\n\
             ids = t.to_pyarrow_table().column('event_id').to_pylist()\n\
             print(len(ids), len(set(ids)))",
            &[&self.url, &self.options.to_string()],
        )
    }
}

/// A server of others in a process of its own; it ends with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a free port and waits until it listens.
fn serve(command: impl Fn(u16) -> Command) -> (Server, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = command(port);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let server = Server(command.spawn().unwrap());
    for _ in 0..1200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return (server, port);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the server did not listen on port {port} within a minute");
}

/// Some audit records, one a line.
fn records(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| audit_record(n) + "\n").collect()
}
