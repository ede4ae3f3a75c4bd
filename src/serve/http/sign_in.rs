//! Who asks: a bearer token, a name and a password, or the sign-in of the page.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Desk;
use super::problem::Problem;
use crate::query::{QueryError, Session};
use crate::serve::converse::Peer;
use crate::serve::gate::{Asker, Refusal};
use crate::serve::proof;
use crate::serve::sessions::LASTS;
use crate::serve::users::Person;
use crate::serve::{Credential, Refused};

/// Somebody who has signed in, and where from.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub person: Arc<Person>,
    pub client: String,
}

impl Signed {
    pub fn asker(&self, door: &'static str) -> Asker {
        Asker::new(self.person.clone(), door, Some(self.client.clone()))
    }
}

impl Desk {
    /// Works out a value with a session of somebody.
    pub async fn work<T, F, Fut>(
        &self,
        signed: &Signed,
        door: &'static str,
        text: String,
        work: F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Session) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, QueryError>> + Send,
    {
        self.gate.work(&signed.asker(door), &text, work).await
    }
}

/// The address without its port, by which guesses are counted and queries logged.
pub(super) struct Client(pub String);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Client, Problem> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let peer = peer.or_else(|| parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|c| c.0));
        Ok(Client(peer.map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string())))
    }
}

impl FromRequestParts<Arc<Desk>> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Signed, Problem> {
        let Client(client) = Client::from_request_parts(parts, desk).await?;
        let person = who(desk, &parts.headers, &client).await?;
        Ok(Signed { person: Arc::new(person), client })
    }
}

/// Looked up anew for each request, so that whoever is taken out of the file is out.
async fn who(desk: &Desk, headers: &HeaderMap, client: &str) -> Result<Person, Problem> {
    let directory = desk.gate.directory();
    if directory.is_open() {
        return Ok(Person::local());
    }
    let nobody = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "sign in: send `Authorization: Bearer TOKEN`, or the name and password of `agentrail user add`",
        )
    };
    if let Some(said) = headers.get(header::AUTHORIZATION) {
        let said = said.to_str().map_err(|_| nobody())?;
        let (scheme, rest) = said.split_once(' ').ok_or_else(nobody)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(directory.admit(Credential::Token(rest)).await?);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = STANDARD.decode(rest).ok().and_then(|pair| String::from_utf8(pair).ok());
            let pair = pair.ok_or_else(nobody)?;
            let (name, password) = pair.split_once(':').ok_or_else(nobody)?;
            return prove(desk, name, password, client).await?.ok_or_else(|| Refused::Password.into());
        }
        return Err(nobody());
    }
    let standing = session(headers).and_then(|id| desk.sessions.of(id, Instant::now())).ok_or_else(nobody)?;
    directory.again(&standing).ok_or_else(nobody)
}

/// Refused where too much was tried of late, by this name or from this address.
pub(super) fn may_try(desk: &Desk, name: &str, client: &str) -> Result<(), Problem> {
    desk.guesses.try_again(name, client, Instant::now()).map_err(too_many)
}

fn too_many(seconds: u64) -> Problem {
    Problem { again: Some(seconds), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, proof::too_many(seconds)) }
}

/// Who has this name and password; refused where too many were tried.
pub(super) async fn prove(
    desk: &Desk,
    name: &str,
    password: &str,
    client: &str,
) -> Result<Option<Person>, Problem> {
    proof::prove(desk.gate.directory(), &desk.guesses, name, password, client).await.map_err(too_many)
}

/// The name of the cookie; one that is bound to its host where TLS is spoken.
fn cookie(is_secure: bool) -> &'static str {
    if is_secure { "__Host-agentrail" } else { "agentrail" }
}

/// The id of a sign-in of the page.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, &[cookie(true), cookie(false)])
}

/// The value of the first cookie of one of these names.
pub(super) fn cookie_of<'h>(headers: &'h HeaderMap, names: &[&str]) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    all.flat_map(|cookies| cookies.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        names.contains(&name).then_some(value)
    })
}

/// The `Set-Cookie` of a sign-in, or of a sign-out where there is no id.
pub(super) fn set_cookie(desk: &Desk, id: Option<&str>) -> String {
    let secure = if desk.is_secure { "; Secure" } else { "" };
    let age = if id.is_some() { LASTS.as_secs() } else { 0 };
    let (name, id) = (cookie(desk.is_secure), id.unwrap_or_default());
    format!("{name}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}
