//! The doors of [serve]: `serve`, and beside the sources of `run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::service::{told_to_stop, until};
use super::{Failure, open_existing, storage, threads};
use crate::serve::{Bounds, Certificate, Directory, Gate, flight, http, oidc, postgres};
use crate::settings::{Serve, Settings};
use crate::source::secret;
use crate::store::Lake;

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
    if serve.postgres.is_empty() && serve.flight.is_empty() && serve.http.is_empty() {
        return Ok(None);
    }
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
    if !serve.postgres.is_empty() {
        let door = postgres::bind(&postgres_settings(serve), &gate)
            .await
            .map_err(|e| Failure::of("open the postgres door", e))?;
        if let Ok(address) = door.address() {
            tracing::info!(%address, "postgres door open");
        }
        let (own, stopped) = (gate.clone(), until(stopped.clone()));
        tasks.spawn(async move {
            door.serve(own, stopped).await;
            Ok(())
        });
    }
    if !serve.flight.is_empty() {
        let door = flight::bind(&flight_settings(serve), &gate)
            .await
            .map_err(|e| Failure::of("open the flight door", e))?;
        if let Ok(address) = door.address() {
            tracing::info!(%address, "flight door open");
        }
        let (own, stopped) = (gate.clone(), until(stopped.clone()));
        tasks.spawn(async move {
            door.serve(own, stopped).await;
            Ok(())
        });
    }
    if !serve.http.is_empty() {
        let fail = |e: http::HttpError| Failure::of("open the http door", e);
        let checked = http::Settings { metrics, ..http_settings(serve) };
        let listener = http::bind(&checked, &gate).await.map_err(fail)?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "http door open");
        }
        let (own, stopped) = (gate.clone(), until(stopped.clone()));
        tasks.spawn(async move { http::serve_on(listener, checked, own, stopped).await.map_err(fail) });
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
    if !serve.postgres.is_empty() {
        let checked = postgres_settings(serve).check(asks_who);
        let says = checked.map(|()| format!("would listen on {}", serve.postgres));
        said.push(("postgres", says.map_err(|e| Failure::of("open the postgres door", e))));
    }
    if !serve.flight.is_empty() {
        let checked = flight_settings(serve).check(asks_who);
        let says = checked.map(|()| format!("would listen on {}", serve.flight));
        said.push(("flight", says.map_err(|e| Failure::of("open the flight door", e))));
    }
    if !serve.http.is_empty() {
        let checked = http_settings(serve).check(asks_who);
        let says = checked.map(|()| format!("would listen on {}", serve.http));
        said.push(("http", says.map_err(|e| Failure::of("open the http door", e))));
    }
    said
}

fn bounds(settings: &Settings) -> Bounds {
    let serve = &settings.serve;
    Bounds {
        memory_bytes: serve.memory,
        spill_bytes: serve.spill,
        threads: threads(settings),
        timeout: Duration::from_secs(serve.timeout.max(1)),
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

fn postgres_settings(serve: &Serve) -> postgres::Settings {
    postgres::Settings {
        listen: serve.postgres.clone(),
        certificate: certificate(serve),
        connections: serve.connections,
    }
}

fn flight_settings(serve: &Serve) -> flight::Settings {
    flight::Settings {
        listen: serve.flight.clone(),
        certificate: certificate(serve),
        connections: serve.connections,
    }
}

fn http_settings(serve: &Serve) -> http::Settings {
    http::Settings {
        listen: serve.http.clone(),
        certificate: certificate(serve),
        connections: serve.connections,
        metrics: http::MoreMetrics::default(),
    }
}
