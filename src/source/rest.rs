//! Calls to Azure DevOps: signed in, within a budget, tried again, and kept as capture lines.
//!
//! A capture line (`{"url", "observed", "status", "body"}`) is what the pipeline reads and what a
//! recording holds, so a recording replays exactly what was collected.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::credential::{Credential, CredentialError, SignIn};
use crate::model::Time;

/// How calls are made.
#[derive(Debug, Clone)]
pub struct Settings {
    pub sign_in: SignIn,
    /// Address that stands in place of `https://dev.azure.com` and its sisters; empty for those.
    pub endpoint: String,
    pub requests_per_minute: u32,
    pub timeout: Duration,
    /// Folder for recordings of all that is fetched.
    pub record: Option<PathBuf>,
}

/// A call that gave nothing; what is said finishes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("sign in to `{url}`: it answered {status}; check the credential and its permissions")]
    Refused { url: String, status: u16 },
    #[error("fetch `{url}`: it answered {status}")]
    Status { url: String, status: u16 },
    #[error("fetch `{url}`")]
    Http { url: String, source: reqwest::Error },
    #[error("read the answer of `{url}`: {says}")]
    Body { url: String, says: String },
    #[error("write the recording `{path}`")]
    Record { path: PathBuf, source: std::io::Error },
    #[error("hand over what was fetched: {says}")]
    Pipeline { says: String },
}

/// The services of an organisation, each at an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Core,
    Audit,
    Graph,
}

/// One answer.
pub(super) struct Answer {
    /// The capture line of it.
    pub line: Bytes,
    pub body: Bytes,
    /// Token for the next page, from the header.
    pub continuation: Option<String>,
}

/// Calls on behalf of one identity.
pub struct Client {
    http: reqwest::Client,
    credential: Credential,
    settings: Settings,
    pace: Mutex<Pace>,
    recording: Mutex<Option<tokio::fs::File>>,
}

/// When the next call may go out.
struct Pace {
    next: Instant,
    every: Duration,
}

/// Tries of one call before it is given up until the next poll.
const TRIES: u32 = 6;
const LONGEST_WAIT: Duration = Duration::from_secs(120);

impl Client {
    pub fn new(settings: Settings) -> Result<Client, RestError> {
        let credential = settings.sign_in.build()?;
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("agentrail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| RestError::Http { url: settings.endpoint.clone(), source })?;
        let every = Duration::from_secs(60) / settings.requests_per_minute.max(1);
        let pace = Mutex::new(Pace { next: Instant::now(), every });
        Ok(Client { http, credential, settings, pace, recording: Mutex::new(None) })
    }

    /// The address of a path in an organisation.
    pub(super) fn url(&self, service: Service, organization: &str, path: &str) -> String {
        let host = match (self.settings.endpoint.as_str(), service) {
            ("", Service::Core) => "https://dev.azure.com",
            ("", Service::Audit) => "https://auditservice.dev.azure.com",
            ("", Service::Graph) => "https://vssps.dev.azure.com",
            (endpoint, _) => endpoint.trim_end_matches('/'),
        };
        format!("{host}/{organization}/{path}")
    }

    /// Fetches an address, as often as it takes within reason.
    pub(super) async fn get(&self, url: &str) -> Result<Answer, RestError> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.turn().await;
            let wait = match self.once(url).await {
                Ok(answer) => return Ok(answer),
                Err((error, _)) if tries >= TRIES => return Err(error),
                Err((error, Again::Never)) => return Err(error),
                Err((error, Again::After(wait))) => {
                    tracing::debug!(%error, ?wait, "a call is tried again");
                    wait
                }
                Err((error, Again::Backoff)) => {
                    tracing::debug!(%error, "a call is tried again");
                    Duration::from_millis(100 << tries) + jitter()
                }
            };
            tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
        }
    }

    async fn once(&self, url: &str) -> Result<Answer, (RestError, Again)> {
        let header = self.credential.header().await.map_err(|e| (e.into(), Again::Backoff))?;
        let failed = |source| (RestError::Http { url: url.to_owned(), source }, Again::Backoff);
        let request = self
            .http
            .get(url)
            .header("authorization", header)
            .header("accept", "application/json")
            // Without this an expired token is answered with a redirect to a page for people.
            .header("x-tfs-fedauthredirect", "Suppress");
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let word = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let wait = ["retry-after", "x-ratelimit-delay"].iter().find_map(|name| pause(&word(name)?));
        if let Some(wait) = wait {
            // The service asks everybody of this identity to slow down.
            self.hold(wait.min(LONGEST_WAIT)).await;
        }
        let continuation = word("x-ms-continuationtoken").filter(|t| !t.is_empty());
        let is_page = word("content-type").is_some_and(|t| t.contains("html"));
        match status {
            // A page that asks a person to sign in, with the status of a success.
            203 => return Err((RestError::Refused { url: url.to_owned(), status }, Again::Backoff)),
            200..=299 if is_page => {
                return Err((RestError::Refused { url: url.to_owned(), status }, Again::Backoff));
            }
            200..=299 => {}
            // A token may have expired on the way; a permission that lacks will lack again.
            401 => return Err((RestError::Refused { url: url.to_owned(), status }, Again::Backoff)),
            403 => return Err((RestError::Refused { url: url.to_owned(), status }, Again::Never)),
            429 | 500..=599 => {
                let again = wait.map_or(Again::Backoff, Again::After);
                return Err((RestError::Status { url: url.to_owned(), status }, again));
            }
            _ => return Err((RestError::Status { url: url.to_owned(), status }, Again::Never)),
        }
        let body = response.bytes().await.map_err(failed)?;
        let observed = now();
        let line = self.line(url, status, observed, &body);
        self.record(&line).await.map_err(|e| (e, Again::Never))?;
        Ok(Answer { line, body, continuation })
    }

    /// The capture line of an answer, without its secrets. A body that is no JSON goes in as text, so
    /// that the decoder says what is wrong with it.
    fn line(&self, url: &str, status: u16, observed: Time, body: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}');
        let body = match serde_json::from_str::<&RawValue>(text) {
            // A line is a line.
            Ok(json) => json.get().replace(['\r', '\n'], " "),
            Err(_) => serde_json::Value::from(text).to_string(),
        };
        let url = serde_json::Value::from(url);
        let line = format!(r#"{{"url":{url},"observed":"{observed}","status":{status},"body":{body}}}"#);
        crate::decode::without_secrets(line).into()
    }

    async fn record(&self, line: &Bytes) -> Result<(), RestError> {
        let Some(folder) = &self.settings.record else { return Ok(()) };
        let fail = |source| RestError::Record { path: folder.clone(), source };
        let mut file = self.recording.lock().await;
        let file = match &mut *file {
            Some(file) => file,
            slot => {
                tokio::fs::create_dir_all(folder).await.map_err(fail)?;
                let name = now().to_string().replace([':', '.'], "-");
                let path = folder.join(format!("recorded-{name}.ndjson"));
                slot.insert(tokio::fs::File::create(path).await.map_err(fail)?)
            }
        };
        file.write_all(&[line, b"\n".as_slice()].concat()).await.map_err(fail)?;
        file.flush().await.map_err(fail)
    }

    /// Waits for this call's place within the budget.
    async fn turn(&self) {
        let at = {
            let mut pace = self.pace.lock().await;
            let at = pace.next.max(Instant::now());
            pace.next = at + pace.every;
            at
        };
        tokio::time::sleep_until(at.into()).await;
    }

    async fn hold(&self, wait: Duration) {
        let mut pace = self.pace.lock().await;
        pace.next = pace.next.max(Instant::now() + wait);
    }
}

/// When a call that failed is tried again.
enum Again {
    Never,
    After(Duration),
    Backoff,
}

/// The pause that a header asks for, in seconds; one too long to tell is the longest there is.
fn pause(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok().filter(|s| *s >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT))
}

/// A little, so that clients that failed together do not return together.
fn jitter() -> Duration {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    Duration::from_millis(u64::from(byte[0] / 4))
}

pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time((since.as_nanos() / 100) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_a_header_asks_for_ends_the_program() {
        assert_eq!(pause("2"), Some(Duration::from_secs(2)));
        assert_eq!(pause(" 0.5 "), Some(Duration::from_millis(500)));
        for long in ["inf", "1e300"] {
            assert_eq!(pause(long), Some(LONGEST_WAIT));
        }
        for none in ["", "-1", "NaN", "soon"] {
            assert_eq!(pause(none), None);
        }
    }
}
