//! What the tests share: a lake in a temporary folder, and the program run on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A fresh lake, gone with the value.
pub struct Scratch {
    pub folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Writes a file beside the lake.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program with these arguments on this lake.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentrail"));
        command.args(arguments).env("AGENTRAIL_LAKE", self.lake()).current_dir(self.folder.path());
        // They are what few tests are about, and they take their time in a build that is not optimised.
        command.env("AGENTRAIL_DETECTIONS__AT_INGEST", "false").env("AGENTRAIL_DETECTIONS__EVERY", "0");
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that must end well.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?} ended with {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn ingest(&self, path: &Path) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["ingest", "--format", "json", path.to_str().unwrap()])).unwrap()
    }

    /// The rows of a statement as JSON objects.
    pub fn sql(&self, statement: &str) -> Vec<serde_json::Value> {
        self.ok(&["sql", "--format", "ndjson", statement])
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one number a statement answers with.
    pub fn count(&self, statement: &str) -> i64 {
        let rows = self.sql(statement);
        assert_eq!(rows.len(), 1, "{statement}");
        rows[0].as_object().unwrap().values().next().unwrap().as_i64().unwrap()
    }
}

/// A running `agentrail run` with its webhook; killed with the value.
pub struct Service {
    pub child: Child,
    pub address: String,
}

impl Service {
    /// Starts the service on a free port and waits until it listens.
    pub fn start(scratch: &Scratch, environment: &[(&str, &str)]) -> Service {
        Service::start_with(scratch, &[], environment)
    }

    /// The same with further arguments.
    pub fn start_with(scratch: &Scratch, arguments: &[&str], environment: &[(&str, &str)]) -> Service {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = scratch.command(&[&["run"], arguments].concat());
        command.env("AGENTRAIL_WEBHOOK__LISTEN", &address).env("AGENTRAIL_LOG", "warn");
        command.envs(environment.iter().copied());
        let child = command.spawn().unwrap();
        let service = Service { child, address };
        for _ in 0..600 {
            if std::net::TcpStream::connect(&service.address).is_ok() {
                return service;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the service did not listen on {} within 30 s", service.address);
    }

    /// One HTTP request; returns status and body.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        request(&self.address, method, path, headers, body).unwrap()
    }

    /// Asks the service to stop, as an init system does, and waits for its end.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain HTTP/1.1 exchange.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// An audit record as Event Grid delivers it, with a given number in its id.
pub fn audit_record(n: u32) -> String {
    format!(
        concat!(
            r#"{{"id":"{id}","subject":"AzureDevOps/Auditing","eventType":"AzureDevOpsAuditEvent","dataVersion":"1.0","#,
            r#""metadataVersion":"1","eventTime":"2026-03-05T14:{m:02}:{s:02}.1234567Z","topic":"/t","data":{{"Id":"{id}","#,
            r#""CorrelationId":"{id}","ActivityId":"7a000000-0000-4000-8000-0000000000aa","ActorCUID":"e0729319-5632-78c1-9625-b53fe559bc01","#,
            r#""ActorUserId":"e0729319-5632-68c1-9625-b53fe559bc01","ActorClientId":"00000000-0000-0000-0000-000000000000","#,
            r#""ActorUPN":"ada@example.com","AuthenticationMechanism":"AAD_Cookie","Timestamp":"2026-03-05T14:{m:02}:{s:02}.1234567Z","#,
            r#""ScopeType":4,"ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-000000000001","#,
            r#""ProjectId":"5b000000-0000-4000-8000-000000000002","ProjectName":"shop","IpAddress":"203.0.113.9","#,
            r#""UserAgent":"Mozilla/5.0 (X11; Linux x86_64)","ActionId":"Git.RepositoryCreated","#,
            r#""Data":{{"RepoId":"5b000000-0000-4000-8000-000000000003","RepoName":"web"}},"Details":"web was created","#,
            r#""Area":"Git","Category":3,"CategoryDisplayName":"Create","ActorDisplayName":"Ada"}}}}"#
        ),
        id = format_args!("a1000000-0000-4000-8000-{n:012x}"),
        m = n / 60 % 60,
        s = n % 60
    )
}
