//! The lake that the settings name: a folder, or a URL with what it takes to reach its object store.

use std::sync::Arc;

use super::{Failure, absolute};
use crate::objects::{Access, is_url};
use crate::settings::Settings;
use crate::source::secret;
use crate::store::Lake;

/// The URL of a lake on object storage; `None` for one on the local disk.
pub(super) fn url(settings: &Settings) -> Option<&str> {
    settings.lake.path.to_str().filter(|path| is_url(path))
}

/// The lake as a message names it. What follows a question mark may be a signature.
pub(super) fn shown(settings: &Settings) -> String {
    match url(settings) {
        Some(url) => url.split('?').next().unwrap_or_default().to_owned(),
        None => absolute(&settings.lake.path).display().to_string(),
    }
}

/// Opens the lake for writing, and makes it when it is not there.
pub async fn open(settings: &Settings) -> Result<Arc<Lake>, Failure> {
    let own = store_settings(settings);
    let lake = match url(settings) {
        Some(url) => Lake::open_url(url, &access(settings)?, own).await,
        None => Lake::open(&settings.lake.path, own).await,
    };
    lake.map(Arc::new).map_err(|e| Failure::of(format!("open the lake `{}`", shown(settings)), e))
}

/// Opens the lake if there is one.
pub(super) async fn find(settings: &Settings) -> Result<Option<Arc<Lake>>, Failure> {
    if let Some(url) = url(settings) {
        let found = Lake::find_url(url, &access(settings)?, store_settings(settings)).await;
        return found
            .map(|lake| lake.map(Arc::new))
            .map_err(|e| Failure::of(format!("open the lake `{}`", shown(settings)), e));
    }
    if !settings.lake.path.join("lake.json").exists() {
        return Ok(None);
    }
    open(settings).await.map(Some)
}

/// Opens a lake to read: one that is not there is no lake, not an empty one.
pub(super) async fn open_existing(settings: &Settings) -> Result<Arc<Lake>, Failure> {
    find(settings).await?.ok_or_else(|| {
        Failure::says(format!(
            "open the lake `{}`: there is none; name it with --lake, or make one with `agentrail ingest`",
            shown(settings)
        ))
    })
}

/// Whether a lake can be made here: nothing is there yet, or an empty folder.
pub(super) async fn vacant(settings: &Settings) -> Result<(), Failure> {
    let name = shown(settings);
    let taken =
        |says: &str| Err(Failure::says(format!("use `{name}` as a lake: {says}; name another folder")));
    if let Some(url) = url(settings) {
        return match Lake::is_vacant(url, &access(settings)?).await {
            Ok(true) => Ok(()),
            Ok(false) => taken("something else is there"),
            Err(e) => Err(Failure::of(format!("use `{name}` as a lake"), e)),
        };
    }
    let mut entries = match std::fs::read_dir(&settings.lake.path) {
        Ok(entries) => entries.flatten(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return taken(&e.to_string()),
    };
    if entries.any(|entry| !entry.file_name().to_string_lossy().starts_with('_')) {
        return taken("the folder is not empty and holds no lake");
    }
    Ok(())
}

/// What reaches the object store, its secrets read from where the settings say they are.
pub(super) fn access(settings: &Settings) -> Result<Access, Failure> {
    let storage = &settings.storage;
    let read = |name: &str, setting: &str| {
        secret::optional(setting)
            .map_err(|e| Failure::of(format!("understand the setting `storage.{name}`"), e))
    };
    Ok(Access {
        account: storage.account.clone(),
        account_key: read("account_key", &storage.account_key)?,
        sas_token: read("sas_token", &storage.sas_token)?,
        client_id: storage.client_id.clone(),
        access_key_id: storage.access_key_id.clone(),
        secret_access_key: read("secret_access_key", &storage.secret_access_key)?,
        region: storage.region.clone(),
        endpoint: storage.endpoint.clone(),
    })
}

fn store_settings(settings: &Settings) -> crate::store::Settings {
    crate::store::Settings {
        free_floor_bytes: settings.lake.free_floor,
        index_memory_bytes: settings.lake.index_memory,
        retention_days: (settings.lake.retention_days > 0).then_some(settings.lake.retention_days),
    }
}
