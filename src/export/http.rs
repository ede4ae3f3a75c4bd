//! Calls over HTTP: with what they sign in, whom they trust, and what an answer means for a batch.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, StatusCode, Url};

use super::{SendError, SetupError};
use crate::model::Time;

/// How a receiver is reached.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    pub url: String,
    /// PEM file of authorities trusted beside those of the system; empty for none.
    pub authorities: PathBuf,
    pub timeout: Duration,
    pub gzip: bool,
    /// Sent with every call.
    pub headers: Vec<(String, String)>,
}

/// Calls to one receiver.
#[derive(Debug)]
pub struct Call {
    http: Client,
    pub url: Url,
    headers: HeaderMap,
    gzip: bool,
}

/// What was answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
    pub after: Option<Duration>,
}

/// An answer is read up to so many bytes.
const MOST_ANSWER: usize = 16 << 20;
/// A receiver whose clock is behind ours names a moment that is past, each time.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// So much of an answer is shown in an error.
const SHOWN: usize = 300;

impl Call {
    pub fn new(connection: &Connection) -> Result<Call, SetupError> {
        let wrong = |says: String| SetupError::Url { url: connection.url.clone(), says };
        let url = Url::parse(&connection.url).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it must begin with https://".to_owned()));
        }
        let mut http = Client::builder()
            .timeout(connection.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("agentrail/", env!("CARGO_PKG_VERSION")));
        if !connection.authorities.as_os_str().is_empty() {
            let path = connection.authorities.display().to_string();
            let fail = |says: String| SetupError::Authorities { path: path.clone(), says };
            let pem = std::fs::read(&connection.authorities).map_err(|e| fail(e.to_string()))?;
            let all = Certificate::from_pem_bundle(&pem).map_err(|e| fail(e.to_string()))?;
            if all.is_empty() {
                return Err(fail("there is none in it".to_owned()));
            }
            http = http.tls_certs_merge(all);
        }
        let http = http.build().map_err(|e| SetupError::Client(chain(&e)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &connection.headers {
            let want = || SetupError::Value {
                setting: "headers",
                value: name.clone(),
                want: "names and values that HTTP allows",
            };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| want())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| want())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Call { http, url, headers, gzip: connection.gzip })
    }

    /// An address below that of the receiver.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }

    /// Sends a body. Headers given here go before those of the settings.
    pub(super) async fn post(
        &self,
        url: Url,
        content: &str,
        more: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, SendError> {
        let mut call = self.http.post(url).headers(self.headers.clone()).header("content-type", content);
        for (name, value) in more {
            call = call.header(*name, *value);
        }
        let body = if self.gzip {
            call = call.header("content-encoding", "gzip");
            gzip(&body).map_err(|e| SendError::later(format!("compress the batch: {e}")))?
        } else {
            body
        };
        let sent = call.body(body).send().await;
        let mut answer =
            sent.map_err(|e| SendError::later(format!("send to `{}`: {}", self.shown(), chain(&e))))?;
        let status = answer.status();
        let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(wait);
        let mut body = Vec::new();
        loop {
            let part = answer.chunk().await;
            let part = part.map_err(|e| {
                SendError::later(format!("read the answer of `{}`: {}", self.shown(), chain(&e)))
            })?;
            let Some(part) = part else { break };
            if body.len() + part.len() > MOST_ANSWER {
                return Err(SendError::later(format!(
                    "read the answer of `{}`: it does not end",
                    self.shown()
                )));
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, body, after })
    }

    /// The address without what may be secret in it.
    pub(super) fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{host}{port}", self.url.scheme())
    }

    /// A success that is not the receiver's own: something between us and it may have given it.
    pub(super) fn misunderstood(&self, answer: &Answer) -> SendError {
        let says = answer.status.as_u16();
        SendError::later(format!(
            "understand the answer of `{}`, {says}{}; check that `url` leads to the receiver itself",
            self.shown(),
            answer.shown()
        ))
    }

    /// What an answer other than success means for the whole batch.
    pub(super) fn refusal(&self, answer: &Answer) -> SendError {
        let says =
            format!("send to `{}`: it answered {}{}", self.shown(), answer.status.as_u16(), answer.shown());
        match answer.status.as_u16() {
            413 => SendError::TooLarge(says),
            400 | 422 => SendError::Unfit(says),
            401 | 403 => SendError::Later {
                says: format!("{says}; check the token and its permissions"),
                after: answer.after,
            },
            301..=308 => SendError::later(format!("{says}; set `url` to where it redirects")),
            _ => SendError::Later { says, after: answer.after },
        }
    }
}

impl Answer {
    /// The beginning of what was said, on one line.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut = text.floor_char_boundary(SHOWN);
        if text.is_empty() { String::new() } else { format!(": {}", &text[..cut]) }
    }

    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// `Retry-After`: seconds, or a date as HTTP writes it.
fn wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).max(LEAST_WAIT));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let then = Time::parse_http(text)?.unix_micros();
    Some(Duration::from_micros(u64::try_from(then).ok()?).saturating_sub(now).max(LEAST_WAIT))
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(body)?;
    out.finish()
}

/// An error with what caused it, without the address, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut says =
        if error.is_timeout() { "it took too long".to_owned() } else { "no connection".to_owned() };
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !says.contains(&text) {
            says = format!("{says}: {text}");
        }
        next = cause.source();
    }
    says
}
