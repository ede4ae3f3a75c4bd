//! What is known of an issuer: fetched within bounds, kept while it cannot be reached, fetched again now and then.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Settings;
use super::document::{self, Document};
use super::keys::{self, Key};

/// An answer of an issuer is of this size at most.
const MOST: usize = 1 << 20;
/// How long one answer may take, and a whole fetch.
const TIME: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(15);

/// What an issuer said of itself.
pub(super) struct Known {
    pub document: Document,
    pub keys: Vec<Key>,
    at: Instant,
}

/// Fetches and keeps it.
pub(super) struct Keeper {
    pub http: reqwest::Client,
    issuer: String,
    every: Duration,
    again: Duration,
    known: Mutex<Option<Arc<Known>>>,
    /// When the issuer was asked last; who holds it asks, others wait for what comes of it.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Keeper {
    pub fn new(settings: &Settings) -> Result<Keeper, String> {
        let http = reqwest::Client::builder()
            .timeout(TIME)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("agentrail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| chain(&e))?;
        Ok(Keeper {
            http,
            issuer: settings.issuer.clone(),
            every: settings.keys_every,
            again: settings.keys_again,
            known: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        })
    }

    fn now(&self) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known, however old; fetched first where nothing is, and beside this where it is old.
    pub async fn at_hand(self: &Arc<Keeper>) -> Result<Arc<Known>, String> {
        let Some(known) = self.now() else { return self.newer(None).await };
        if known.at.elapsed() >= self.every && self.asked.try_lock().is_ok() {
            let (own, old) = (self.clone(), known.clone());
            tokio::spawn(async move { _ = own.newer(Some(&old)).await });
        }
        Ok(known)
    }

    /// What the issuer says now; whoever tries tokens cannot have it asked more often than is set.
    pub async fn newer(&self, than: Option<&Arc<Known>>) -> Result<Arc<Known>, String> {
        let mut asked = self.asked.lock().await;
        if let Some(known) = self.now()
            && !than.is_some_and(|than| Arc::ptr_eq(than, &known))
        {
            return Ok(known);
        }
        if asked.is_some_and(|at| at.elapsed() < self.again) {
            return Err(format!("it was asked within the last {} s", self.again.as_secs()));
        }
        *asked = Some(Instant::now());
        let fetched = tokio::time::timeout(WHOLE, self.fetch()).await;
        let fetched =
            fetched.unwrap_or_else(|_| Err(format!("it did not answer within {} s", WHOLE.as_secs())));
        match fetched {
            Ok(known) => {
                let known = Arc::new(known);
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
                Ok(known)
            }
            Err(says) => {
                let has_keys = self.now().is_some();
                tracing::warn!(
                    issuer = self.issuer,
                    says,
                    has_keys,
                    "the issuer of tokens does not tell its keys"
                );
                Err(says)
            }
        }
    }

    async fn fetch(&self) -> Result<Known, String> {
        let text = self.get(&document::discovery(&self.issuer)).await?;
        let document = document::parse(&text, &self.issuer)?;
        let keys = keys::parse(&self.get(document.keys.as_str()).await?)?;
        Ok(Known { document, keys, at: Instant::now() })
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let request = self.http.get(url).header("accept", "application/json");
        let response = request.send().await.map_err(|e| chain(&e))?;
        if !response.status().is_success() {
            return Err(format!("`{url}` answers {}", response.status()));
        }
        body(response).await
    }
}

/// A body under the bound.
pub(super) async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|e| chain(&e))? {
        if all.len() + part.len() > MOST {
            return Err(format!("`{}` answers more than {MOST} bytes", response.url()));
        }
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// An error with what it came from.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut says = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        says.push_str(": ");
        says.push_str(&source.to_string());
        next = source.source();
    }
    says
}
