//! Certificates of clients at both doors: none, one that somebody else signed, and the right one.

use std::path::PathBuf;
use std::process::{Command, Output};

use agentrail::serve::postgres;
use agentrail::serve::{Certificate, Protocol, Role};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio::sync::oneshot;

use super::open::{Door, bounds, demo, directory, doorway, user};
use crate::lake::Scratch;
use crate::readers::python;

/// Somebody who signs certificates.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Signer {
    fn new(name: &str) -> Signer {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Signer { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key in files.
    fn sign(&self, files: &Scratch, name: &str, purpose: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let chain = files.file(&format!("{name}.pem"), params.signed_by(&key, &self.issuer).unwrap().pem());
        let path = files.file(&format!("{name}.key"), key.serialize_pem());
        // psql takes no key that others can read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (chain, path)
    }
}

/// The files of a server, and of clients: what signs the server, the right one, one of a stranger, one for servers.
struct Files {
    files: Scratch,
    certificate: Certificate,
    root: PathBuf,
    clients: [(PathBuf, PathBuf); 3],
}

fn files() -> Files {
    let files = Scratch::new();
    let (ours, theirs) = (Signer::new("ours"), Signer::new("theirs"));
    let root = files.file("root.pem", &ours.pem);
    let (chain, key) = ours.sign(&files, "server", ExtendedKeyUsagePurpose::ServerAuth);
    let clients = [
        ours.sign(&files, "right", ExtendedKeyUsagePurpose::ClientAuth),
        theirs.sign(&files, "stranger", ExtendedKeyUsagePurpose::ClientAuth),
        ours.sign(&files, "purpose", ExtendedKeyUsagePurpose::ServerAuth),
    ];
    Files { certificate: Certificate { chain, key, clients: root.clone() }, root, clients, files }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_needs_the_right_certificate_and_then_signs_in() {
    let Some(psql) = std::env::var("PEERS_PSQL").ok().filter(|p| !p.is_empty()) else {
        assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
        println!("skipped: no psql; tests/run sets it up");
        return;
    };
    let all = files();
    let scratch = demo();
    let directory = directory(&scratch, Some(vec![user("ada", Role::Admin, &[], &[])]));
    let gate = super::open::gate(&scratch, bounds(), directory).await;
    let settings = doorway(all.certificate.clone(), 20);
    let open = settings.open(Protocol::Postgres, true).await.unwrap();
    let port = open.address.port();
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(postgres::serve(open, gate.clone(), async { _ = stopped.await }));
    let ask = async |client: Option<&(PathBuf, PathBuf)>, mode: &str, password: &str| -> Output {
        let mut dsn = format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=ada dbname=agentrail sslmode={mode} sslrootcert={}",
            all.root.display()
        );
        match client {
            Some((chain, key)) => {
                dsn.push_str(&format!(" sslcert={} sslkey={}", chain.display(), key.display()));
            }
            None => dsn.push_str(" sslcert=/nowhere sslkey=/nowhere"),
        }
        let mut command = Command::new(&psql);
        command.args(["-X", "-At", "-d", &dsn, "-c", "select 'through'"]).env("PGPASSWORD", password);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let [right, stranger, purpose] = &all.clients;
    let out = ask(Some(right), "verify-full", "password of ada").await;
    assert_eq!(text(&out.stdout), "through\n", "{}", text(&out.stderr));
    // A certificate is no sign-in.
    let out = ask(Some(right), "verify-full", "password of eve").await;
    assert!(text(&out.stderr).contains("name or password is wrong"), "{}", text(&out.stderr));
    for (client, part) in
        [(None, "certificate required"), (Some(stranger), "alert"), (Some(purpose), "alert")]
    {
        let out = ask(client, "require", "password of ada").await;
        let says = text(&out.stderr);
        assert!(!out.status.success() && says.contains(part), "{part}: {says}");
        assert!(!says.contains("password"), "{says}");
    }
    // Nor is there a way around TLS.
    let out = ask(None, "disable", "password of ada").await;
    assert!(text(&out.stderr).contains("this server speaks TLS alone"), "{}", text(&out.stderr));
    let out = ask(Some(right), "verify-full", "password of ada").await;
    assert_eq!(text(&out.stdout), "through\n", "{}", text(&out.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_needs_the_right_certificate_and_then_signs_in() {
    let Some(python) = python() else { return };
    let all = files();
    let scratch = demo();
    let directory = directory(&scratch, Some(vec![user("ada", Role::Admin, &[], &[])]));
    let door = Door::of(scratch, bounds(), directory, doorway(all.certificate.clone(), 100)).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/certificate.py");
    let mut command = Command::new(python);
    command.arg(script).arg(door.address.port().to_string()).arg("bearer of ada").arg(&all.root);
    for (chain, key) in &all.clients {
        command.arg(chain).arg(key);
    }
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 6, "{}", text(&out.stdout));
    assert!(all.files.path("root.pem").exists());
}
