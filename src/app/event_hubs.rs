//! The hubs as sources of `run`: settings to readers, and what they are at to the log.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Failure;
use super::service::until;
use crate::settings::{Hub as Setting, Settings};
use crate::source::SignIn;
use crate::source::event_hubs::checkpoints::{Account, Blobs, Checkpoints, Folder};
use crate::source::event_hubs::status::Status;
use crate::source::event_hubs::{Access, Hub, Lanes, Sharing, Start, consume, named_by};
use crate::source::{clock, clock::Clock as _, secret};

/// Where the service is found when only the name of a namespace is given.
const DOMAIN: &str = "servicebus.windows.net";
/// Between two lines of the log on what each partition is at.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Starts a consumer for each hub.
pub fn start(
    settings: &Settings,
    lanes: &Lanes,
    status: &Status,
    stopped: &watch::Receiver<bool>,
    sources: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    let (hubs, store) = (hubs(settings)?, checkpoints(settings)?);
    let sharing = sharing(settings)?;
    for hub in hubs {
        let (store, lanes, status) = (store.clone(), lanes.clone(), status.clone());
        let (sharing, stopped) = (sharing.clone(), until(stopped.clone()));
        sources.spawn(async move {
            let name = hub.hub.clone();
            consume(hub, sharing, store, lanes, status, stopped)
                .await
                .map_err(|e| Failure::of(format!("consume the hub `{name}`"), e))
        });
    }
    let (status, stopped) = (status.clone(), until(stopped.clone()));
    sources.spawn(async move {
        tell(&status, stopped).await;
        Ok(())
    });
    Ok(())
}

/// Logs now and then what each partition is at.
async fn tell(status: &Status, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
        for (name, hub) in status.snapshot(clock::System.now()) {
            for (partition, at) in hub.partitions.iter().filter(|(_, at)| at.owned) {
                tracing::info!(
                    partition = format!("{name}/{partition}"),
                    committed = at.committed,
                    lag = at.lag,
                    lag_seconds = at.lag_seconds,
                    events = at.events,
                    bytes = at.bytes,
                    repeated = at.repeated,
                    reconnects = at.reconnects,
                    "event hubs"
                );
            }
        }
    }
}

/// The hubs of the settings, checked; nothing is connected to.
pub fn hubs(settings: &Settings) -> Result<Vec<Hub>, Failure> {
    let hubs: Vec<Hub> =
        settings.event_hubs.hubs.iter().map(|hub| one(hub, settings)).collect::<Result<_, _>>()?;
    for (n, hub) in hubs.iter().enumerate() {
        if hubs[..n].iter().any(|other| other.name().eq_ignore_ascii_case(&hub.name())) {
            return Err(wrong(format!(
                "`{}` is there twice; leave one out, or give it another consumer group",
                hub.name()
            )));
        }
    }
    Ok(hubs)
}

fn wrong(says: impl Into<String>) -> Failure {
    Failure::says(format!("understand the settings in [event_hubs]: {}", says.into()))
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::of("understand the settings in [event_hubs]", cause)
}

fn one(own: &Setting, settings: &Settings) -> Result<Hub, Failure> {
    let all = &settings.event_hubs;
    let (access, named) = if own.connection_string.is_empty() {
        let sign_in = sign_in(
            own.credential.as_ref().unwrap_or(&all.credential),
            own.tenant_id.as_ref().unwrap_or(&all.tenant_id),
            own.client_id.as_ref().unwrap_or(&all.client_id),
            own.client_secret.as_ref().unwrap_or(&all.client_secret),
        )?;
        (Access::SignIn(sign_in), None)
    } else {
        if own.credential.is_some() {
            return Err(wrong("a hub has `connection_string` and `credential`; leave one out"));
        }
        let text = secret::resolve(&own.connection_string).map_err(failed)?;
        let named = named_by(&text);
        (Access::ConnectionString(text), named)
    };
    let (host, path) = named.unwrap_or_default();
    let namespace = match own.namespace.as_str() {
        "" => host,
        short if !short.contains('.') => format!("{short}.{DOMAIN}"),
        whole => whole.to_owned(),
    };
    let transport = match own.transport.as_str() {
        "" | "tcp" => false,
        "websocket" => true,
        other => return Err(wrong(format!("`transport` is `{other}`; write tcp or websocket"))),
    };
    let begin = |text: &str| {
        Start::parse(text).ok_or_else(|| {
            wrong(format!("`start` is `{text}`; write earliest, latest, a time such as 2026-03-05T14:00:00Z, or a sequence number"))
        })
    };
    let starts = own.starts.iter().map(|(partition, text)| Ok((partition.clone(), begin(text)?)));
    let hub = Hub {
        namespace,
        hub: if own.hub.is_empty() { path.unwrap_or_default() } else { own.hub.clone() },
        consumer_group: if own.consumer_group.is_empty() {
            "$Default".to_owned()
        } else {
            own.consumer_group.clone()
        },
        access,
        endpoint: own.endpoint.clone(),
        websocket: transport,
        start: begin(own.start.as_ref().unwrap_or(&all.start))?,
        starts: starts.collect::<Result<_, Failure>>()?,
        prefetch: own.prefetch.unwrap_or(all.prefetch).max(1),
    };
    hub.check().map_err(failed)?;
    Ok(hub)
}

fn sign_in(kind: &str, tenant: &str, client: &str, setting: &str) -> Result<SignIn, Failure> {
    Ok(SignIn {
        kind: kind.to_owned(),
        tenant_id: tenant.to_owned(),
        client_id: client.to_owned(),
        secret: secret::optional(setting).map_err(failed)?,
    })
}

/// How processes share the hubs.
pub fn sharing(settings: &Settings) -> Result<Sharing, Failure> {
    let own = &settings.event_hubs;
    let every = own.every.max(1);
    if own.expiry < 2 * every {
        return Err(wrong(format!(
            "`expiry` is {} s; it must be at least twice `every`, {} s",
            own.expiry,
            2 * every
        )));
    }
    Ok(Sharing {
        every: Duration::from_secs(every),
        expiry: Duration::from_secs(own.expiry),
        in_flight: own.in_flight,
        in_flight_bytes: own.in_flight_bytes,
    })
}

/// Where checkpoints are.
pub fn checkpoints(settings: &Settings) -> Result<Checkpoints, Failure> {
    let own = &settings.event_hubs;
    if !own.checkpoints.starts_with("az://") {
        if own.checkpoints.contains("://") {
            return Err(wrong(format!(
                "`checkpoints` is `{}`; write a folder or az://container",
                own.checkpoints
            )));
        }
        let folder = match own.checkpoints.as_str() {
            "" if super::storage::url(settings).is_some() => {
                return Err(wrong(
                    "the lake is on object storage; set `checkpoints` to az://container, or to a folder if one machine reads",
                ));
            }
            "" => settings.lake.path.join("_event_hubs"),
            folder => PathBuf::from(folder),
        };
        return Ok(Checkpoints::new(Folder(super::absolute(&folder))));
    }
    let key = match own.checkpoint_key.as_str() {
        "" => None,
        setting => Some(secret::resolve(setting).map_err(failed)?),
    };
    let credential = match key {
        Some(_) => None,
        None => {
            let sign_in = sign_in(&own.credential, &own.tenant_id, &own.client_id, &own.client_secret)?;
            Some(sign_in.token_credential().map_err(failed)?)
        }
    };
    let account = Account {
        url: own.checkpoints.clone(),
        name: own.checkpoint_account.clone(),
        endpoint: own.checkpoint_endpoint.clone(),
        key,
        credential,
    };
    Ok(Checkpoints::new(Blobs::azure(account).map_err(failed)?))
}

/// What the settings would read, for `check`.
pub(super) fn check(settings: &Settings) -> Result<String, Failure> {
    let hubs = hubs(settings)?;
    sharing(settings)?;
    checkpoints(settings)?;
    let names: Vec<String> = hubs.iter().map(|hub| format!("{}/{}", hub.namespace, hub.hub)).collect();
    Ok(format!("would read {}", names.join(", ")))
}
