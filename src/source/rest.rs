//! Calls to Azure DevOps: signed in, within a budget, tried again, and kept as capture lines.
//!
//! A capture line (`{"url", "observed", "status", "body"}`) is what the pipeline reads and what a
//! recording holds, so a recording replays exactly what was collected.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::clock::Clock;
use super::credential::{Credential, CredentialError, SignIn};
use crate::model::{Ticks, Time};

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
    pub(super) clock: Arc<dyn Clock>,
    credential: Mutex<Arc<Credential>>,
    settings: Settings,
    pace: Mutex<Pace>,
    recording: Mutex<Option<tokio::fs::File>>,
}

/// When the next call may go out.
struct Pace {
    next: Time,
    every: Ticks,
}

/// Tries of one call before it is given up until the next poll.
const TRIES: u32 = 6;
/// However long a header asks to wait.
const LONGEST_WAIT: Ticks = Ticks::seconds(900);
const SHORTEST_BACKOFF: Ticks = Ticks(2_000_000);

impl Client {
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Client, RestError> {
        let credential = Mutex::new(Arc::new(settings.sign_in.build()?));
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("agentrail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| RestError::Http { url: settings.endpoint.clone(), source })?;
        // Rounded up: never more within a minute.
        let every = Ticks(Ticks::seconds(60).0 / i64::from(settings.requests_per_minute.max(1)) + 1);
        let pace = Mutex::new(Pace { next: clock.now(), every });
        Ok(Client { http, clock, credential, settings, pace, recording: Mutex::new(None) })
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
        let (mut tries, mut is_renewed) = (0, false);
        loop {
            tries += 1;
            self.turn().await;
            let credential = self.credential.lock().await.clone();
            let (error, again) = match self.once(url, &credential).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if tries >= TRIES {
                return Err(error);
            }
            let wait = match again {
                Again::Never => return Err(error),
                Again::After(wait) => wait,
                Again::Backoff => backoff(tries),
                Again::Renewed => {
                    // Once a call: whoever may not come in does not ask for a token each time.
                    if !std::mem::replace(&mut is_renewed, true) {
                        self.renew(&credential).await?;
                    }
                    backoff(tries)
                }
            };
            tracing::debug!(%error, seconds = wait.0 / Ticks::seconds(1).0, "a call is tried again");
            self.clock.sleep(wait).await;
        }
    }

    /// Lets go of a credential whose cached token is refused, unless another call did so already.
    async fn renew(&self, refused: &Arc<Credential>) -> Result<(), RestError> {
        let mut own = self.credential.lock().await;
        if Arc::ptr_eq(&own, refused) {
            *own = Arc::new(self.settings.sign_in.build()?);
        }
        Ok(())
    }

    async fn once(&self, url: &str, credential: &Credential) -> Result<Answer, (RestError, Again)> {
        let header = credential.header().await.map_err(|e| (e.into(), Again::Backoff))?;
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
        let now = self.clock.now();
        let wait = ["retry-after", "x-ratelimit-delay"].iter().find_map(|name| pause(&word(name)?, now));
        let spent = || word("x-ratelimit-remaining")?.trim().parse::<f64>().ok().filter(|left| *left <= 0.0);
        let wait = wait.or_else(|| spent().and_then(|_| until_reset(&word("x-ratelimit-reset")?, now)));
        if let Some(wait) = wait {
            // The service asks everybody of this identity to slow down.
            self.hold(wait).await;
        }
        let continuation = word("x-ms-continuationtoken").filter(|t| !t.is_empty());
        let is_page = word("content-type").is_some_and(|t| t.contains("html"));
        let refused = || RestError::Refused { url: url.to_owned(), status };
        match status {
            // A page that asks a person to sign in, with the status of a success; or a token that
            // expired on the way. A permission that lacks will lack again.
            203 | 401 => return Err((refused(), Again::Renewed)),
            200..=299 if is_page => return Err((refused(), Again::Renewed)),
            200..=299 => {}
            403 => return Err((refused(), Again::Never)),
            429 | 500..=599 => {
                let again = wait.map_or(Again::Backoff, Again::After);
                return Err((RestError::Status { url: url.to_owned(), status }, again));
            }
            _ => return Err((RestError::Status { url: url.to_owned(), status }, Again::Never)),
        }
        let mut body = response.bytes().await.map_err(failed)?;
        // There is nothing to be had, as there is no timeline of a build that waits.
        if status == 204 {
            body = Bytes::from_static(b"null");
        }
        let line = self.line(url, status, continuation.as_deref(), &body);
        self.record(&line).await.map_err(|e| (e, Again::Never))?;
        Ok(Answer { line, body, continuation })
    }

    /// The capture line of an answer, without its secrets. A body that is no JSON goes in as text, so
    /// that the decoder says what is wrong with it; its secrets are masked while it can be told what they are.
    fn line(&self, url: &str, status: u16, continuation: Option<&str>, body: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}');
        let body = match serde_json::from_str::<&RawValue>(text) {
            // A line is a line.
            Ok(json) => json.get().replace(['\r', '\n'], " "),
            Err(_) => serde_json::Value::from(crate::decode::hidden(text)).to_string(),
        };
        let (url, observed) = (serde_json::Value::from(url), self.clock.now());
        // In the answer this is a header; without it a page looks like the whole.
        let more = continuation.map(|token| format!(r#""continuation":{},"#, serde_json::Value::from(token)));
        let more = more.unwrap_or_default();
        let line =
            format!(r#"{{"url":{url},"observed":"{observed}","status":{status},{more}"body":{body}}}"#);
        crate::decode::without_secrets(line).into()
    }

    /// Keeps a line, if lines are kept.
    pub(super) async fn record(&self, line: &Bytes) -> Result<(), RestError> {
        let Some(folder) = &self.settings.record else { return Ok(()) };
        let fail = |source| RestError::Record { path: folder.clone(), source };
        let mut file = self.recording.lock().await;
        let file = match &mut *file {
            Some(file) => file,
            slot => {
                tokio::fs::create_dir_all(folder).await.map_err(fail)?;
                let name = self.clock.now().to_string().replace([':', '.'], "-");
                let path = folder.join(format!("recorded-{name}.ndjson"));
                slot.insert(tokio::fs::File::create(path).await.map_err(fail)?)
            }
        };
        file.write_all(&[line, b"\n".as_slice()].concat()).await.map_err(fail)?;
        file.flush().await.map_err(fail)
    }

    /// Waits for this call's place within the budget.
    async fn turn(&self) {
        let wait = {
            let mut pace = self.pace.lock().await;
            let now = self.clock.now();
            // A clock set back does not hold up the calls for as long as it was set back.
            let at = pace.next.max(now).min(now + LONGEST_WAIT + LONGEST_WAIT);
            pace.next = at + pace.every;
            Ticks(at.0 - now.0)
        };
        if wait > Ticks(0) {
            self.clock.sleep(wait).await;
        }
    }

    async fn hold(&self, wait: Ticks) {
        let mut pace = self.pace.lock().await;
        pace.next = pace.next.max(self.clock.now() + wait);
    }
}

/// When a call that failed is tried again.
enum Again {
    Never,
    After(Ticks),
    Backoff,
    /// With a token asked for anew.
    Renewed,
}

/// The pause that a header asks for, in seconds or until an HTTP date; one too long to tell is the
/// longest there is.
fn pause(text: &str, now: Time) -> Option<Ticks> {
    let text = text.trim();
    if let Some(date) = Time::parse_http(text) {
        return Some(Ticks((date.0 - now.0).clamp(0, LONGEST_WAIT.0)));
    }
    let seconds = text.parse::<f64>().ok().filter(|s| *s >= 0.0)?;
    let longest = LONGEST_WAIT.0 as f64;
    Some(Ticks((seconds * Ticks::seconds(1).0 as f64).min(longest) as i64))
}

/// The time to the moment, in seconds since 1970, at which a used-up allowance is there again.
fn until_reset(text: &str, now: Time) -> Option<Ticks> {
    let at = Ticks::seconds(text.trim().parse::<i64>().ok().filter(|s| (0..1 << 33).contains(s))?);
    Some(Ticks((at.0 - now.0).clamp(0, LONGEST_WAIT.0)))
}

/// Longer each time.
fn backoff(tries: u32) -> Ticks {
    Ticks((SHORTEST_BACKOFF.0 << (tries - 1)) + jitter().0)
}

/// A little, so that clients that failed together do not return together.
fn jitter() -> Ticks {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    Ticks(i64::from(byte[0]) * 2_500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_a_header_asks_for_ends_the_program() {
        let now = Time::parse("1994-11-06T08:49:00Z").unwrap();
        let pause = |text| pause(text, now);
        assert_eq!(pause("2"), Some(Ticks::seconds(2)));
        assert_eq!(pause(" 0.5 "), Some(Ticks(5_000_000)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Ticks::seconds(37)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Ticks(0)));
        for long in ["inf", "1e300", "Sun, 06 Nov 2094 08:49:37 GMT"] {
            assert_eq!(pause(long), Some(LONGEST_WAIT));
        }
        for none in ["", "-1", "NaN", "soon", "Sun, 06 Brumaire III", "Sun, 06 Nov 1994 88:49:37 GMT"] {
            assert_eq!(pause(none), None);
        }
    }

    #[test]
    fn a_used_up_allowance_is_waited_for() {
        let now = Time::parse("2026-03-05T00:00:00Z").unwrap();
        let seconds = now.0 / Ticks::seconds(1).0;
        assert_eq!(until_reset(&(seconds + 40).to_string(), now), Some(Ticks::seconds(40)));
        assert_eq!(until_reset(&(seconds - 40).to_string(), now), Some(Ticks(0)));
        assert_eq!(until_reset(&i64::MAX.to_string(), now), None);
    }
}
