//! The doors of [serve]: `serve`, and beside the sources of `run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::service::{told_to_stop, until};
use super::{Failure, open_existing, storage, threads};
use crate::serve::{
    Bounds, Certificate, Directory, DoorError, Doorway, Gate, Protocol, flight, http, oidc, postgres,
};
use crate::settings::{Serve, Settings};
use crate::source::secret;
use crate::store::Lake;

/// Bytes that a query takes at the least.
const LEAST_MEMORY: usize = 16 << 20;

/// Opens the doors of a lake until told to stop.
pub(super) async fn run(settings: &Settings) -> Result<u8, Failure> {
    let stop = told_to_stop()?;
    let lake = open_existing(settings).await?;
    let (tell, stopped) = watch::channel(false);
    let mut doors = JoinSet::new();
    let metrics = http::MoreMetrics::default();
    let gate = open(settings, &lake, metrics, &stopped, &mut doors).await?;
    let Some(gate) = gate else {
        return Err(Failure::says(
            "serve: no door is configured; set `http`, `postgres` or `flight` in [serve], as \"127.0.0.1:8080\"",
        ));
    };
    tracing::info!(lake = %storage::shown(settings), "agentrail serves");
    let ended = tokio::select! {
        () = stop => None,
        ended = doors.join_next() => ended,
    };
    tracing::info!("stopping: queries under way may end");
    let _ = tell.send(true);
    while doors.join_next().await.is_some() {}
    gate.written().await;
    match ended {
        Some(Ok(Err(failure))) => Err(failure),
        Some(Err(e)) => Err(Failure::of("keep a door open", e)),
        _ => Ok(0),
    }
}

/// Opens the doors that are set; `None` where none is.
pub(super) async fn open(
    settings: &Settings,
    lake: &Arc<Lake>,
    metrics: http::MoreMetrics,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<Result<(), Failure>>,
) -> Result<Option<Arc<Gate>>, Failure> {
    let serve = &settings.serve;
    if set(serve).next().is_none() {
        return Ok(None);
    }
    sensible(serve)?;
    let fail = |e: std::io::Error| Failure::of("start the threads of queries", e);
    let gate = Gate::start(lake.clone(), bounds(settings), directory(serve)?).map_err(fail)?;
    if gate.directory().is_open() {
        tracing::warn!(
            "whoever is on this machine may ask; name a file in `serve.users` to have them sign in"
        );
    }
    if let Some(issuer) = gate.directory().issuer().cloned() {
        for name in gate.directory().alike() {
            tracing::warn!(
                name,
                "clients of PostgreSQL 18 are asked for a token first under such a name: \
                 call this user otherwise, without `@`"
            );
        }
        tokio::spawn(async move { issuer.warm().await });
    }
    for (protocol, listen) in set(serve) {
        let fail = |e: DoorError| Failure::of(format!("open the {} door", protocol.name()), e);
        let asks_who = !gate.directory().is_open();
        let door = doorway(serve, listen).open(protocol, asks_who).await.map_err(fail)?;
        tracing::info!(address = %door.address, "{} door open", protocol.name());
        let (gate, metrics, stopped) = (gate.clone(), metrics.clone(), until(stopped.clone()));
        tasks.spawn(async move {
            match protocol {
                Protocol::Postgres => postgres::serve(door, gate, stopped).await,
                Protocol::Flight => flight::serve(door, gate, stopped).await,
                Protocol::Http => http::serve(door, gate, metrics, stopped).await,
            }
            Ok(())
        });
    }
    Ok(Some(gate))
}

/// Whether each door that is set could be opened.
pub(super) fn check(settings: &Settings) -> Vec<(&'static str, Result<String, Failure>)> {
    let serve = &settings.serve;
    let mut said = Vec::new();
    let asks_who = !serve.users.as_os_str().is_empty() || !serve.oidc.issuer.is_empty();
    if !serve.users.as_os_str().is_empty() {
        let users = users(serve).map(|_| format!("`{}` is understood", serve.users.display()));
        said.push(("users", users));
    }
    if !serve.oidc.issuer.is_empty() {
        let says = issuer(serve).map(|_| format!("tokens of `{}` would be taken", serve.oidc.issuer));
        said.push(("oidc", says));
    }
    if set(serve).next().is_some()
        && let Err(failure) = sensible(serve)
    {
        said.push(("serve", Err(failure)));
    }
    let mut taken: Vec<(&str, &str)> = Vec::new();
    if settings.webhook.enabled {
        taken.push(("webhook", &settings.webhook.listen));
    }
    for (protocol, listen) in set(serve) {
        let name = protocol.name();
        let fail = |says: &dyn std::fmt::Display| Failure::says(format!("open the {name} door: {says}"));
        let other = taken.iter().find(|(_, other)| *other == listen && !listen.ends_with(":0"));
        let says = match (other, doorway(serve, listen).check(protocol, asks_who)) {
            (_, Err(e)) => Err(Failure::of(format!("open the {name} door"), e)),
            (Some((other, _)), _) => {
                Err(fail(&format!("the {other} door has `{listen}` already; give each a port of its own")))
            }
            _ => Ok(format!("would listen on {listen}")),
        };
        taken.push((name, listen));
        said.push((name, says));
    }
    said
}

/// Whether anybody could be answered within the bounds that are set.
fn sensible(serve: &Serve) -> Result<(), Failure> {
    let bounds = [
        ("connections", serve.connections == 0),
        ("at_once", serve.at_once == 0),
        ("timeout", serve.timeout == 0),
        ("rows", serve.rows == 0),
        ("memory", serve.memory < LEAST_MEMORY),
    ];
    match bounds.into_iter().find(|(_, is_too_little)| *is_too_little) {
        None => Ok(()),
        Some(("memory", _)) => Err(Failure::says(format!(
            "understand `memory = {}` in [serve]: no query runs in less than {LEAST_MEMORY} bytes",
            serve.memory
        ))),
        Some((name, _)) => {
            Err(Failure::says(format!("understand `{name} = 0` in [serve]: it must be at least 1")))
        }
    }
}

fn bounds(settings: &Settings) -> Bounds {
    let serve = &settings.serve;
    Bounds {
        memory_bytes: serve.memory,
        spill_bytes: serve.spill,
        threads: threads(settings),
        timeout: Duration::from_secs(serve.timeout),
        rows: serve.rows,
        at_once: serve.at_once,
    }
}

fn drawn() -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| Failure::of("draw random numbers", e.to_string()))?;
    Ok(secret)
}

fn users(serve: &Serve) -> Result<Directory, Failure> {
    let path: Option<PathBuf> = Some(serve.users.clone()).filter(|path| !path.as_os_str().is_empty());
    Directory::open(path, drawn()?).map_err(|e| Failure::of("read who may sign in", e))
}

fn directory(serve: &Serve) -> Result<Directory, Failure> {
    Ok(users(serve)?.trusting(issuer(serve)?.map(Arc::new)))
}

/// The issuer of tokens, where one is set; asks it nothing.
fn issuer(serve: &Serve) -> Result<Option<oidc::Issuer>, Failure> {
    let said = &serve.oidc;
    if said.issuer.is_empty() {
        return Ok(None);
    }
    let fail = |e: oidc::OidcError| Failure::of("take tokens of the issuer", e);
    let client_secret =
        secret::optional(&said.client_secret).map_err(|e| Failure::of("take tokens of the issuer", e))?;
    let grant = |role: &crate::settings::OidcRole| oidc::Grant {
        claim: role.claim.clone(),
        value: role.value.clone(),
        role: role.role,
        organizations: role.organizations.clone(),
        projects: role.projects.clone(),
    };
    let settings = oidc::Settings {
        issuer: said.issuer.clone(),
        client_id: said.client_id.clone(),
        client_secret,
        audiences: said.audience.clone(),
        redirect: said.redirect.clone(),
        scope: said.scope.clone(),
        grants: said.roles.iter().map(grant).collect(),
        session: Duration::from_secs(said.session.max(1)),
        keys_every: Duration::from_secs(said.keys_every.max(1)),
        keys_again: Duration::from_secs(said.keys_again.max(1)),
    };
    oidc::Issuer::new(settings, drawn()?).map(Some).map_err(fail)
}

fn certificate(serve: &Serve) -> Certificate {
    Certificate { chain: serve.certificate.clone(), key: serve.key.clone(), clients: serve.client_ca.clone() }
}

/// The doors that are set, and where each listens.
fn set(serve: &Serve) -> impl Iterator<Item = (Protocol, &str)> {
    let listen = |protocol| match protocol {
        Protocol::Postgres => &serve.postgres,
        Protocol::Flight => &serve.flight,
        Protocol::Http => &serve.http,
    };
    let all = Protocol::ALL.into_iter().map(move |protocol| (protocol, listen(protocol).as_str()));
    all.filter(|(_, listen)| !listen.is_empty())
}

fn doorway(serve: &Serve, listen: &str) -> Doorway {
    Doorway { listen: listen.to_owned(), certificate: certificate(serve), connections: serve.connections }
}
