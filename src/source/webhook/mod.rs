//! The listener: Splunk HEC, Event Grid and service hooks; a sender gets its 200 after the commit.

mod eventgrid;
mod hec;
mod hooks;
mod secret;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::{Outcome, Payload};
use secret::Secrets;

/// How the listener runs; `settings/default.toml` says what each means.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: String,
    pub behind_tls_proxy: bool,
    pub hec_tokens: Vec<String>,
    pub event_grid_keys: Vec<String>,
    pub hook_credentials: Vec<String>,
    pub max_body: usize,
    pub max_concurrent: usize,
    pub request_timeout: Duration,
}

/// A listener that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("understand the address `{listen}`; write it as `127.0.0.1:8088`")]
    Address { listen: String },
    #[error("listen on `{listen}`, which others can reach: set `{setting}` in [webhook]{why}")]
    Open { listen: String, setting: &'static str, why: &'static str },
    #[error(transparent)]
    Secret(#[from] crate::source::secret::SecretError),
    #[error("listen on `{listen}`; is the port taken?")]
    Bind { listen: String, source: std::io::Error },
    #[error("serve `{listen}`")]
    Serve { listen: String, source: std::io::Error },
}

impl Settings {
    /// Whether the listener could run as it is set, without starting it.
    pub fn check(&self) -> Result<(), WebhookError> {
        self.resolve().map(|_| ())
    }

    fn resolve(&self) -> Result<(SocketAddr, Doors), WebhookError> {
        let listen = self.listen.clone();
        let address: SocketAddr =
            self.listen.parse().map_err(|_| WebhookError::Address { listen: listen.clone() })?;
        let doors = Doors {
            hec: Secrets::read(&self.hec_tokens)?,
            event_grid: Secrets::read(&self.event_grid_keys)?,
            hooks: Secrets::read(&self.hook_credentials)?,
        };
        if !address.ip().is_loopback() {
            let open = |setting, why| Err(WebhookError::Open { listen: listen.clone(), setting, why });
            if !self.behind_tls_proxy {
                return open("behind_tls_proxy", " to true once a proxy in front of it terminates TLS");
            }
            for (secrets, setting) in [
                (&doors.hec, "hec_tokens"),
                (&doors.event_grid, "event_grid_keys"),
                (&doors.hooks, "hook_credentials"),
            ] {
                if secrets.is_open() {
                    return open(setting, ", so that only known senders are taken");
                }
            }
        }
        Ok((address, doors))
    }
}

/// How long requests under way may take once the listener stops.
const GRACE: Duration = Duration::from_secs(10);

/// The secrets of the three doors.
struct Doors {
    hec: Secrets,
    event_grid: Secrets,
    hooks: Secrets,
}

/// What the handlers share.
struct Desk {
    doors: Doors,
    settings: Settings,
    intake: mpsc::Sender<Payload>,
    slots: Semaphore,
}

/// Why a request ended without a commit.
enum Refused {
    TooLarge,
    Unreadable,
    /// Try again after so many seconds.
    Busy(u64),
    Failed,
}

/// Listens until `stopped` ends; requests under way are finished.
pub async fn serve(
    settings: Settings,
    intake: mpsc::Sender<Payload>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WebhookError> {
    let listener = bind(&settings).await?;
    serve_on(listener, settings, intake, stopped).await
}

/// Takes the port; connections wait until the listener is served.
pub async fn bind(settings: &Settings) -> Result<tokio::net::TcpListener, WebhookError> {
    let (address, _) = settings.resolve()?;
    let listen = settings.listen.clone();
    tokio::net::TcpListener::bind(address).await.map_err(|source| WebhookError::Bind { listen, source })
}

/// Serves a port that is taken.
pub async fn serve_on(
    listener: tokio::net::TcpListener,
    settings: Settings,
    intake: mpsc::Sender<Payload>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WebhookError> {
    let (_, doors) = settings.resolve()?;
    let listen = settings.listen.clone();
    let slots = Semaphore::new(settings.max_concurrent.clamp(1, Semaphore::MAX_PERMITS));
    let desk = Arc::new(Desk { doors, settings, intake, slots });
    let router = Router::new()
        .route("/services/collector", post(hec::events))
        .route("/services/collector/event", post(hec::events))
        .route("/services/collector/raw", post(hec::events))
        .route("/services/collector/event/1.0", post(hec::events))
        .route("/services/collector/raw/1.0", post(hec::events))
        .route("/services/collector/health", get(hec::health))
        .route("/services/collector/health/1.0", get(hec::health))
        .route("/services/collector/ack", post(hec::acknowledgement))
        .route("/eventgrid", post(eventgrid::events).options(eventgrid::abuse_protection))
        .route("/hooks", post(hooks::hook))
        .with_state(desk);
    tracing::info!(%listen, "the webhook listens");
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        stopped.await;
        let _ = stop.send(());
    });
    let overdue = async move {
        let _ = stopping.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = serving.into_future() => done.map_err(|source| WebhookError::Serve { listen, source }),
        // A connection that never says what it wants does not hold up the end.
        () = overdue => Ok(()),
    }
}

impl Desk {
    /// A place among the requests under way, to be held until the answer: bodies fill memory.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.slots.try_acquire().map_err(|_| Refused::Busy(1))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refused> {
        let read = axum::body::to_bytes(body, self.settings.max_body);
        match tokio::time::timeout(self.settings.request_timeout, read).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(e)) if is_too_large(&e) => Err(Refused::TooLarge),
            _ => Err(Refused::Unreadable),
        }
    }

    /// Hands a body over and waits until it is durable.
    async fn deliver(&self, bytes: Bytes, source: &str) -> Result<(), Refused> {
        let (payload, outcome) = Payload::new(bytes, source);
        if self.intake.try_send(payload).is_err() {
            return Err(Refused::Busy(1));
        }
        match tokio::time::timeout(self.settings.request_timeout, outcome).await {
            Ok(Ok(Outcome::Committed(_))) => Ok(()),
            Ok(Ok(Outcome::Busy { retry_after, .. })) => Err(Refused::Busy(retry_after.as_secs().max(1))),
            Ok(Ok(Outcome::Full { .. })) => Err(Refused::Busy(30)),
            // It may still be committed: sent again it is found there.
            Err(_) => Err(Refused::Busy(5)),
            Ok(Ok(Outcome::Failed { .. }) | Err(_)) => Err(Refused::Failed),
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.to_string().contains("length limit exceeded") {
            return true;
        }
        next = cause.source();
    }
    false
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Unreadable => StatusCode::BAD_REQUEST,
            Refused::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn retry_after(&self) -> Option<String> {
        match self {
            Refused::Busy(seconds) => Some(seconds.to_string()),
            _ => None,
        }
    }

    /// The answer of a door that has no codes of its own.
    fn plain(&self) -> axum::response::Response {
        let says = match self {
            Refused::TooLarge => "the body is larger than `webhook.max_body`\n",
            Refused::Unreadable => "the body could not be read\n",
            Refused::Busy(_) => "busy: send it again after the seconds of Retry-After\n",
            Refused::Failed => "the body was not stored; see the log of agentrail\n",
        };
        answer(self.status(), self.retry_after(), "text/plain", says.to_owned())
    }
}

fn answer(
    status: StatusCode,
    retry_after: Option<String>,
    kind: &str,
    body: String,
) -> axum::response::Response {
    let mut response = axum::response::Response::builder().status(status).header("content-type", kind);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(Body::from(body)).unwrap_or_default()
}
