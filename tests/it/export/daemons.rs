//! Debian's rsyslog, whose liblognorm reads CEF, and syslog-ng, each as a process with a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::receivers::Certificate;
use crate::lake::Scratch;

/// A daemon that writes what it received as lines of JSON; killed with the value.
pub struct Daemon {
    process: Child,
    written: PathBuf,
}

impl Daemon {
    pub fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.written).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ends it as an init system does.
    pub fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder that `tests/run` unpacked a daemon into; without it these tests are skipped, in CI they fail.
fn root(variable: &str) -> Option<PathBuf> {
    let root = std::env::var_os(variable).filter(|root| !root.is_empty());
    if root.is_none() {
        assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
        println!("skipped: {variable} is not set; tests/run sets it up");
    }
    root.map(PathBuf::from)
}

/// Where Debian puts libraries of this machine's kind.
/// Debian has libraries below `usr/lib`, and some still below `lib`.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let inside = |folder: &str| std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let all = inside("usr/lib").chain(inside("lib")).map(|entry| entry.path());
    all.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")).collect()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn launch(mut command: Command, log: &Path, port: u16, written: PathBuf) -> Daemon {
    let log = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = Daemon { process: command.spawn().unwrap(), written };
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return daemon;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the daemon did not listen on {port} within 30 s");
}

/// rsyslog on a port with TLS, or without; lines have `app`, `msgid`, `host`, `pri`, `time`, `data`, `msg`, and `parsed`
/// with what liblognorm made of CEF.
pub fn rsyslog(scratch: &Scratch, port: u16, tls: Option<&Certificate>) -> Option<Daemon> {
    let root = root("PEERS_RSYSLOG")?;
    let folder = scratch.path("rsyslog");
    std::fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(folder.join("cef.rulebase"), "version=2\nrule=:%{\"name\":\"cef\",\"type\":\"cef\"}%\n")
        .unwrap();
    let (global, module) = match tls {
        Some(own) => (
            format!(
                "defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{chain}\" \
                 defaultNetstreamDriverCertFile=\"{chain}\" defaultNetstreamDriverKeyFile=\"{key}\"",
                chain = own.chain.display(),
                key = own.key.display()
            ),
            "StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\"",
        ),
        None => (String::new(), ""),
    };
    let member = |name: &str, property: &str| {
        format!("constant(value=\"\\\"{name}\\\":\\\"\") property({property}) constant(value=\"\\\",\") ")
    };
    let members = [
        member("app", "name=\"app-name\" format=\"json\""),
        member("msgid", "name=\"msgid\" format=\"json\""),
        member("host", "name=\"hostname\" format=\"json\""),
        member("pri", "name=\"pri\""),
        member("time", "name=\"timereported\" dateFormat=\"rfc3339\""),
        member("data", "name=\"structured-data\" format=\"json\""),
        member("msg", "name=\"msg\" format=\"json\""),
    ];
    let text = format!(
        "global(workDirectory=\"{work}\" maxMessageSize=\"256k\" {global})\n\
         module(load=\"imtcp\" {module})\n\
         module(load=\"mmnormalize\")\n\
         template(name=\"line\" type=\"list\") {{ constant(value=\"{{\") {members} constant(value=\"\\\"parsed\\\":\") \
         property(name=\"$!all-json\") constant(value=\"}}\\n\") }}\n\
         ruleset(name=\"in\") {{ action(type=\"mmnormalize\" rulebase=\"{rules}\")\n\
         action(type=\"omfile\" file=\"{out}\" template=\"line\" asyncWriting=\"off\" flushOnTXEnd=\"on\") }}\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"in\")\n",
        work = folder.display(),
        members = members.concat(),
        rules = at("cef.rulebase"),
        out = at("seen.ndjson"),
    );
    std::fs::write(folder.join("rsyslog.conf"), text).unwrap();
    let libraries = libraries(&root);
    let modules = libraries.iter().map(|lib| lib.join("rsyslog")).find(|modules| modules.is_dir()).unwrap();
    let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
    command.args(["-n", "-f", &at("rsyslog.conf"), "-i", &at("pid"), "-M"]).arg(modules);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap());
    Some(launch(command, &folder.join("log"), port, folder.join("seen.ndjson")))
}

/// The ports of syslog-ng.
pub struct Ports {
    pub tls: u16,
    pub tcp: u16,
    pub udp: u16,
}

/// syslog-ng over TLS, TCP and UDP; lines have `MESSAGE`, `app`, `MSGID`, `HOST`, `PRIORITY` and `_SDATA`.
pub fn syslog_ng(scratch: &Scratch, ports: &Ports, own: &Certificate) -> Option<Daemon> {
    let root = root("PEERS_SYSLOG_NG")?;
    let folder = scratch.path("syslog-ng");
    std::fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let lib = root.join("usr/lib/syslog-ng");
    let versions = std::fs::read_dir(&lib).unwrap().map(|entry| entry.unwrap());
    let version = versions.into_iter().find(|e| e.file_type().unwrap().is_dir()).unwrap().file_name();
    let version = version.to_string_lossy().into_owned();
    let text = format!(
        "@version: {version}\n\
         options {{ keep-hostname(yes); log-msg-size(262144); }};\n\
         source in {{\n\
         syslog(ip(\"127.0.0.1\") port({tls}) transport(\"tls\") \
         tls(key-file(\"{key}\") cert-file(\"{chain}\") peer-verify(optional-untrusted)));\n\
         syslog(ip(\"127.0.0.1\") port({tcp}) transport(\"tcp\"));\n\
         syslog(ip(\"127.0.0.1\") port({udp}) transport(\"udp\"));\n}};\n\
         destination out {{ file(\"{out}\" template(\"$(format-json --scope rfc5424 --pair app=$PROGRAM)\\n\") \
         flush-lines(1)); }};\n\
         log {{ source(in); destination(out); }};\n",
        tls = ports.tls,
        tcp = ports.tcp,
        udp = ports.udp,
        key = own.key.display(),
        chain = own.chain.display(),
        out = at("seen.ndjson"),
    );
    std::fs::write(folder.join("syslog-ng.conf"), text).unwrap();
    let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
    command.args(["-F", "--no-caps", "-f", &at("syslog-ng.conf"), "-p", &at("pid"), "-c", &at("ctl")]);
    command.args(["-R", &at("persist")]).arg(format!("--module-path={}", lib.join(&version).display()));
    let libraries = libraries(&root).into_iter().chain([lib]);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
    Some(launch(command, &folder.join("log"), ports.tcp, folder.join("seen.ndjson")))
}
