//! The collectors of the REST API as sources of `run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Failure;
use super::service::until;
use crate::model::Ticks;
use crate::settings::Settings;
use crate::source::clock::Clock;
use crate::source::{Payload, SignIn, agent_api, audit_api, rest, secret};
use crate::store::Lake;

fn seconds(n: u64) -> Ticks {
    Ticks::seconds(i64::try_from(n).unwrap_or(i64::MAX / Ticks::seconds(1).0))
}

/// Starts a collector of each kind for each organisation.
pub fn start(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    record: Option<PathBuf>,
    intake: &mpsc::Sender<Payload>,
    lake: &Arc<Lake>,
    stopped: &watch::Receiver<bool>,
    sources: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    let own = &settings.azure_devops;
    if own.credential == "pat" {
        tracing::warn!(
            "collecting with a personal access token: it acts as a person and expires; a managed identity does neither"
        );
    }
    let client = rest::Client::new(rest_settings(settings, record)?, clock);
    let client = Arc::new(client.map_err(|e| Failure::of("sign in to Azure DevOps", e))?);
    for organization in &own.organizations {
        tracing::info!(
            organization,
            audit = own.audit,
            agents = own.agents,
            requests_per_minute = own.requests_per_minute,
            "collecting from Azure DevOps"
        );
        if own.audit {
            let how = audit_api::Settings {
                every: seconds(own.audit_every),
                overlap: seconds(own.audit_overlap),
                lag: seconds(own.audit_lag),
                backfill: Ticks::days(i64::from(own.audit_backfill_days)),
                page: own.audit_page,
            };
            let (client, organization, intake) = (client.clone(), organization.clone(), intake.clone());
            let (lake, stopped) = (lake.clone(), until(stopped.clone()));
            sources.spawn(async move {
                let positions = move |partition: &str| lake.position(partition);
                audit_api::collect(&how, client, &organization, intake, &positions, stopped)
                    .await
                    .map_err(|e| Failure::of(format!("collect the audit log of `{organization}`"), e))
            });
        }
        if own.agents {
            let how = agent_api::Settings {
                jobs_every: seconds(own.jobs_every),
                agents_every: seconds(own.agents_every),
                rest_every: seconds(own.rest_every),
            };
            let (client, organization, intake) = (client.clone(), organization.clone(), intake.clone());
            let (lake, stopped) = (lake.clone(), until(stopped.clone()));
            sources.spawn(async move {
                let positions = move |partition: &str| lake.position(partition);
                agent_api::collect(&how, client, &organization, intake, &positions, stopped)
                    .await
                    .map_err(|e| Failure::of(format!("collect the agents of `{organization}`"), e))
            });
        }
    }
    Ok(())
}

/// The settings of the calls, checked; nothing is connected to.
pub(super) fn rest_settings(settings: &Settings, record: Option<PathBuf>) -> Result<rest::Settings, Failure> {
    let own = &settings.azure_devops;
    let fail = |e| Failure::of("understand the settings in [azure_devops]", e);
    let setting = if own.credential == "pat" { &own.pat } else { &own.client_secret };
    let secret =
        secret::optional(setting).map_err(|e| Failure::of("understand the settings in [azure_devops]", e))?;
    let sign_in = SignIn {
        kind: own.credential.clone(),
        tenant_id: own.tenant_id.clone(),
        client_id: own.client_id.clone(),
        secret,
    };
    sign_in.check().map_err(fail)?;
    Ok(rest::Settings {
        sign_in,
        endpoint: own.endpoint.clone(),
        requests_per_minute: own.requests_per_minute,
        timeout: Duration::from_secs(own.timeout),
        record,
    })
}
