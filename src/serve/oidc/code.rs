//! Sign-in in a browser: the authorization code flow with PKCE (RFC 7636), and nothing kept for who never comes back.
//!
//! A browser is sent away with a cookie that holds a random seed, a time and a path. State, nonce and PKCE
//! verifier are MACs of that cookie by a key of this process, so the state also proves that the cookie is
//! ours and unchanged, and a flood of sign-ins that are never finished takes no memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::document::Document;
use super::known::{body, chain};
use super::token::{self, TokenError};
use super::{Bearer, Issuer};
use crate::serve::scram::mac;

/// Seconds a person may take at the issuer.
pub(in crate::serve) const LASTS: u64 = 600;
/// The path that the issuer sends a browser back to.
const PATH: &str = "/sign-in/callback";
/// A longer path to come back to is forgotten.
const MOST_NEXT: usize = 1000;
const MOST_USED: usize = 20_000;
/// Codes that are redeemed at once.
static EXCHANGES: Semaphore = Semaphore::const_new(8);

/// What the issuer sent a browser back with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub code: Option<String>,
    pub state: Option<String>,
    pub issuer: Option<String>,
    pub error: Option<String>,
    pub description: Option<String>,
}

impl Answer {
    /// Reads a query; `None` where a member is there twice, so that no two readers can see another one.
    pub fn read(query: &str) -> Option<Answer> {
        let mut answer = Answer::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "code" => &mut answer.code,
                "state" => &mut answer.state,
                "iss" => &mut answer.issuer,
                "error" => &mut answer.error,
                "error_description" => &mut answer.description,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return None;
            }
        }
        Some(answer)
    }
}

/// Where a browser is sent, and the cookie it takes along.
#[derive(Debug)]
pub struct Away {
    pub location: String,
    pub cookie: String,
}

/// Somebody who came back.
#[derive(Debug)]
pub struct SignedIn {
    pub bearer: Bearer,
    /// The path they wanted.
    pub next: String,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error(
        "go on with the sign-in: it was not begun in this browser, is over already or took too long; begin again at {0}/sign-in"
    )]
    Elsewhere(String),
    #[error("sign in: the issuer says `{0}`; try again")]
    Provider(String),
    #[error("redeem the code at the issuer: {0}; try again")]
    Exchange(String),
    #[error("reach the issuer: {0}; try again later, or sign in with a password")]
    Unreachable(String),
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("draw random numbers")]
    Random,
}

/// States that were brought back, until they would be too old anyway.
#[derive(Default)]
pub(super) struct Used(Mutex<HashMap<String, u64>>);

impl Used {
    /// Whether this is the first time.
    fn first(&self, state: &str, until: u64, now: u64) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_USED {
            all.retain(|_, until| *until > now);
            // The issuer takes a code once as well.
            if all.len() >= MOST_USED {
                all.clear();
            }
        }
        all.insert(state.to_owned(), until).is_none()
    }
}

/// What a cookie says.
struct Trip {
    until: u64,
    next: String,
}

impl Trip {
    fn read(cookie: &str) -> Option<Trip> {
        let (_, rest) = cookie.split_once('.')?;
        let (until, next) = rest.split_once('.')?;
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        Some(Trip { until: until.parse().ok()?, next })
    }
}

#[derive(Deserialize)]
struct Redeemed {
    #[serde(default)]
    id_token: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What somebody else says, as it may be repeated.
fn said(error: &str, description: Option<&str>) -> String {
    let all = [error, description.unwrap_or_default()].join(": ");
    let plain: String = all.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    plain.trim_end_matches([':', ' ']).to_owned()
}

impl Issuer {
    fn made(&self, what: &str, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(mac(&self.secret, format!("{what} {cookie}").as_bytes()))
    }

    fn back(&self) -> String {
        format!("{}{PATH}", self.settings.redirect)
    }

    fn elsewhere(&self) -> CodeError {
        CodeError::Elsewhere(self.settings.redirect.clone())
    }

    /// Sends a browser to the issuer; it comes back to `next`, a path of this server.
    pub async fn send_away(&self, next: &str) -> Result<Away, CodeError> {
        let known = self.keeper.at_hand().await.map_err(CodeError::Unreachable)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| CodeError::Random)?;
        let next = if next.len() > MOST_NEXT { "/" } else { next };
        let (seed, next) = (URL_SAFE_NO_PAD.encode(seed), URL_SAFE_NO_PAD.encode(next));
        let cookie = format!("{seed}.{}.{next}", seconds() + LASTS);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.made("verifier", &cookie).as_bytes()));
        let mut location: Url = known.document.authorization.clone();
        location.query_pairs_mut().extend_pairs([
            ("client_id", self.settings.client_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &self.back()),
            ("response_mode", "query"),
            ("scope", "openid profile"),
            ("state", &self.made("state", &cookie)),
            ("nonce", &self.made("nonce", &cookie)),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            // Else who signed out would be signed in again without being asked.
            ("prompt", "select_account"),
        ]);
        Ok(Away { location: location.into(), cookie })
    }

    /// Lets in who comes back with the cookie that they were sent away with.
    pub async fn come_back(&self, cookie: &str, answer: Answer) -> Result<SignedIn, CodeError> {
        let (wanted, state) = (self.made("state", cookie), answer.state.unwrap_or_default());
        let is_ours: bool = wanted.as_bytes().ct_eq(state.as_bytes()).into();
        let trip = Trip::read(cookie).filter(|_| is_ours).ok_or_else(|| self.elsewhere())?;
        let now = seconds();
        if trip.until <= now || !self.used.first(&state, trip.until, now) {
            return Err(self.elsewhere());
        }
        // Only now: before, a link could make this page say anything.
        if let Some(error) = answer.error {
            return Err(CodeError::Provider(said(&error, answer.description.as_deref())));
        }
        if answer.issuer.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(self.elsewhere());
        }
        let code = answer.code.ok_or_else(|| self.elsewhere())?;
        let token = self.redeem(&code, &self.made("verifier", cookie)).await?;
        let claims = self.claims(&token, std::slice::from_ref(&self.settings.client_id)).await?;
        token::is_of_sign_in(&claims, &self.settings.client_id, &self.made("nonce", cookie))?;
        Ok(SignedIn { bearer: self.grant(&claims)?, next: trip.next })
    }

    /// Changes a code for the id token.
    async fn redeem(&self, code: &str, verifier: &str) -> Result<String, CodeError> {
        let known = self.keeper.at_hand().await.map_err(CodeError::Unreachable)?;
        let _turn = EXCHANGES.acquire().await;
        let response = self.redemption(&known.document, code, verifier).send().await;
        let response = response.map_err(|e| CodeError::Unreachable(chain(&e)))?;
        let status = response.status();
        let text = body(response).await.map_err(CodeError::Exchange)?;
        let redeemed: Redeemed =
            serde_json::from_slice(&text).map_err(|_| CodeError::Exchange(format!("it answers {status}")))?;
        match redeemed.id_token.is_empty() {
            false if status.is_success() => Ok(redeemed.id_token),
            _ if redeemed.error.is_empty() => {
                Err(CodeError::Exchange(format!("it answers {status} without an id token")))
            }
            _ => Err(CodeError::Exchange(said(&redeemed.error, Some(&redeemed.error_description)))),
        }
    }

    /// The request that changes a code for a token.
    fn redemption(&self, document: &Document, code: &str, verifier: &str) -> reqwest::RequestBuilder {
        let (id, secret) = (self.settings.client_id.as_str(), self.settings.client_secret.as_str());
        let mut form = Serializer::new(String::new());
        form.extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
        ]);
        form.append_pair("redirect_uri", &self.back());
        let mut request = self.keeper.http.post(document.token.clone());
        if secret.is_empty() || document.takes_post {
            form.append_pair("client_id", id);
        }
        match (secret.is_empty(), document.takes_post) {
            (true, _) => {}
            (false, true) => _ = form.append_pair("client_secret", secret),
            (false, false) => {
                let coded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(coded(id), Some(coded(secret)));
            }
        }
        let kind = "application/x-www-form-urlencoded";
        request.header("content-type", kind).header("accept", "application/json").body(form.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_each_thing_once() {
        let answer = Answer::read("code=a%20b&state=s&session_state=x&iss=https%3A%2F%2Fa").unwrap();
        assert_eq!((answer.code.as_deref(), answer.state.as_deref()), (Some("a b"), Some("s")));
        assert_eq!(answer.issuer.as_deref(), Some("https://a"));
        assert_eq!(Answer::read(""), Some(Answer::default()));
        for twice in ["code=a&code=b", "state=s&code=a&state=t", "error=a&error="] {
            assert_eq!(Answer::read(twice), None, "{twice}");
        }
    }

    #[test]
    fn a_state_is_brought_back_once() {
        let used = Used::default();
        assert!(used.first("a", 10, 1) && !used.first("a", 10, 2) && used.first("b", 10, 3));
        for n in 0..MOST_USED {
            used.first(&n.to_string(), 10, 11);
        }
        assert!(used.0.lock().unwrap().len() <= MOST_USED);
    }

    #[test]
    fn what_others_say_is_repeated_in_short() {
        assert_eq!(said("access_denied", None), "access_denied");
        assert_eq!(said("a", Some("b\r\nc")), "a: b  c");
        assert_eq!(said("a", Some(&"b".repeat(5000))).len(), 500);
    }
}
