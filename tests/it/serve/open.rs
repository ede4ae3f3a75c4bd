//! What the tests of the HTTP door share: a lake, the people of a file, a door, a browser of little wit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use agentrail::serve::http::{self, MoreMetrics};
use agentrail::serve::{
    Bounds, Certificate, Directory, Doorway, Gate, Protocol, Role, User, Users, Verifier, token_hash,
};
use agentrail::store::{Lake, Settings};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::sync::oneshot;

use crate::lake::Scratch;

/// An open door; closed with the value.
pub struct Door {
    pub scratch: Scratch,
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub client: Client,
    pub token: Option<&'static str>,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

pub fn bounds() -> Bounds {
    Bounds {
        memory_bytes: 64 << 20,
        spill_bytes: 64 << 20,
        threads: 2,
        timeout: Duration::from_secs(600),
        rows: 1_000_000,
        at_once: 4,
    }
}

/// A lake of the simulated organisation: a copy of one that is made once.
pub fn demo() -> Scratch {
    static MADE: LazyLock<Scratch> = LazyLock::new(|| {
        let scratch = Scratch::new();
        scratch.ok(&["demo", "--keep", scratch.lake().to_str().unwrap()]);
        scratch
    });
    let own = Scratch::new();
    copy(&MADE.lake(), &own.lake());
    own
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &there),
            false => _ = std::fs::copy(entry.path(), there).unwrap(),
        }
    }
}

/// Somebody of the file of users; the token is `bearer of NAME`.
pub fn user(name: &str, role: Role, organizations: &[&str], projects: &[&str]) -> (String, User) {
    let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let user = User {
        role,
        verifier: Verifier::of(&format!("password of {name}"), vec![5; 16]).to_string(),
        tokens: vec![token_hash(&format!("bearer of {name}"))],
        organizations: own(organizations),
        projects: own(projects),
    };
    (name.to_owned(), user)
}

/// A file of these people, read.
pub fn directory(scratch: &Scratch, users: Option<Vec<(String, User)>>) -> Directory {
    let path = users.map(|users| {
        let path = scratch.path("users.toml");
        Users(BTreeMap::from_iter(users)).write(&path).unwrap();
        path
    });
    Directory::open(path, [7; 32]).unwrap()
}

/// The gate to a lake.
pub async fn gate(scratch: &Scratch, bounds: Bounds, directory: Directory) -> Arc<Gate> {
    let lake = Settings { free_floor_bytes: 0, ..Settings::default() };
    let lake = Arc::new(Lake::open(&scratch.lake(), lake).await.unwrap());
    Gate::start(lake, bounds, directory).unwrap()
}

/// How a door on this machine is opened.
pub fn doorway(certificate: Certificate, connections: usize) -> Doorway {
    Doorway { listen: "127.0.0.1:0".to_owned(), certificate, connections }
}

impl Door {
    /// A door that asks nobody who they are.
    pub async fn open(scratch: Scratch, bounds: Bounds) -> Door {
        Door::with(scratch, bounds, None, 100).await
    }

    pub async fn with(
        scratch: Scratch,
        bounds: Bounds,
        users: Option<Vec<(String, User)>>,
        connections: usize,
    ) -> Door {
        Door::set(scratch, bounds, users, doorway(Certificate::default(), connections)).await
    }

    pub async fn set(
        scratch: Scratch,
        bounds: Bounds,
        users: Option<Vec<(String, User)>>,
        settings: Doorway,
    ) -> Door {
        let directory = directory(&scratch, users);
        Door::of(scratch, bounds, directory, settings).await
    }

    /// A door that asks this directory who comes.
    pub async fn of(scratch: Scratch, bounds: Bounds, directory: Directory, settings: Doorway) -> Door {
        let gate = gate(&scratch, bounds, directory).await;
        let open = settings.open(Protocol::Http, !gate.directory().is_open()).await.unwrap();
        let address = open.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let own = gate.clone();
        tokio::spawn(async move {
            let stopped = async { _ = stopped.await };
            http::serve(open, own, MoreMetrics::default(), stopped).await;
        });
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Door { scratch, address, gate, client, token: None, stop: Some(stop) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asks(&self, request: RequestBuilder) -> RequestBuilder {
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.asks(self.client.get(self.url(path))).send().await.unwrap()
    }

    pub async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.get(path).await;
        (response.status(), response.text().await.unwrap_or_default())
    }

    /// The answer of a statement as JSON.
    pub async fn sql(&self, sql: &str) -> (StatusCode, serde_json::Value) {
        let body = serde_json::json!({ "sql": sql }).to_string();
        let request = self.client.post(self.url("/api/sql")).header("content-type", "application/json");
        let response = self.asks(request.body(body)).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    }

    /// Every page that can be reached from these, with its text; each must be there.
    pub async fn walk(&self, from: &[&str], most: usize) -> BTreeMap<String, String> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<String> = from.iter().map(|path| (*path).to_owned()).collect();
        let mut pages = BTreeMap::new();
        while let Some(path) = next.pop() {
            if pages.len() >= most || !seen.insert(path.clone()) {
                continue;
            }
            let response = self.get(&path).await;
            let status = response.status();
            if status == StatusCode::SEE_OTHER {
                next.push(response.headers()["location"].to_str().unwrap().to_owned());
                continue;
            }
            let text = response.text().await.unwrap();
            assert_eq!(status, StatusCode::OK, "{path}\n{text}");
            for link in links(&text) {
                let is_page =
                    !link.starts_with("/api/") && !link.starts_with("/assets/") && !link.starts_with('#');
                assert!(link.starts_with('/') || link.starts_with('#'), "{path} leads to {link}");
                // What an identity reaches takes long to work out in a build without optimisation.
                let is_slow = ["reach", "blast_radius", "unused_grants", "from%20bears", "credentials"];
                if is_page && !is_slow.iter().any(|slow| link.contains(slow)) {
                    next.insert(0, link);
                }
            }
            pages.insert(path, text);
        }
        pages
    }
}

/// Where a page leads.
pub fn links(text: &str) -> Vec<String> {
    let hrefs = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    hrefs.map(|href| href.replace("&amp;", "&")).collect()
}
