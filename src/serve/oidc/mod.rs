//! Sign-in by an issuer of tokens (OpenID Connect, such as Entra ID): which tokens are believed, and who bears one.
//!
//! ```text
//! token --> token  signature, issuer, audience, times --> grants  who it is, what they may see --> Person
//!             ^
//! issuer --> document, keys --> known  fetched within bounds, kept, fetched again now and then
//!
//! browser --> code  sent to the issuer and back with a code, which is changed for a token
//! ```
//!
//! Invariants:
//! 1. A token is believed for a key of the issuer's own alone; whatever a token says of keys is not looked at.
//! 2. Nobody is let in whom no grant names, and nobody by a claim that people can change themselves.
//! 3. An issuer that cannot be reached stops nothing but the first sign-in by it: keys that are known are used.

mod code;
mod document;
mod grants;
mod keys;
mod known;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};
use url::Url;

pub(super) use code::LASTS as TRIP_LASTS;
pub use code::{Answer, Away, CodeError, SignedIn};
pub use grants::Grant;
pub use token::TokenError;

use super::users::Person;
use crate::model::is_guid;
use code::Used;
use known::Keeper;
use token::Expected;

/// How tokens of an issuer are taken.
#[derive(Clone)]
pub struct Settings {
    /// As its tokens have it in `iss`.
    pub issuer: String,
    pub client_id: String,
    /// Empty for a client that has none.
    pub client_secret: String,
    /// What else than the client's id tokens may be for.
    pub audiences: Vec<String>,
    /// Where people reach the page, as `https://audit.contoso.com`. Empty: nobody signs in there by the issuer.
    pub redirect: String,
    /// What clients of PostgreSQL are told to ask a token for.
    pub scope: String,
    pub grants: Vec<Grant>,
    /// How long a sign-in lasts on the page, and on one connection.
    pub session: Duration,
    /// How old keys may become before they are fetched again.
    pub keys_every: Duration,
    /// The least time between two fetches.
    pub keys_again: Duration,
}

/// Settings of an issuer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("understand `{setting}` in [serve.oidc]: {says}")]
    Address { setting: &'static str, says: String },
    #[error(
        "take tokens of `{0}`, which are of every tenant: name yours, as https://login.microsoftonline.com/TENANT/v2.0"
    )]
    Tenants(String),
    #[error("take tokens of an issuer: set `client_id` in [serve.oidc]")]
    Client,
    #[error("let anybody in by the issuer: say in [[serve.oidc.roles]] which claim gives which role")]
    Nobody,
    #[error(
        "give a role by the claim `{0}`: write roles, groups, oid or sub, which people cannot change themselves"
    )]
    Claim(String),
    #[error("give a role by the claim `{0}`: say by which `value`")]
    Value(String),
    #[error("set up calls to the issuer: {0}")]
    Http(String),
}

/// Somebody who bears a token.
#[derive(Debug)]
pub struct Bearer {
    pub person: Person,
    /// What the issuer knows them by; it stays when their name changes.
    pub id: String,
    /// The application that got the token.
    pub client: Option<String>,
}

impl Bearer {
    /// Whether somebody may call themselves so.
    pub fn goes_by(&self, name: &str) -> bool {
        self.person.name.eq_ignore_ascii_case(name) || self.id.eq_ignore_ascii_case(name)
    }
}

/// An issuer whose tokens are believed.
pub struct Issuer {
    settings: Settings,
    /// The tenant that stands in the address of an issuer of Entra ID.
    tenant: Option<String>,
    keeper: Arc<Keeper>,
    /// Binds what a browser is sent away with to this process.
    secret: [u8; 32],
    used: Used,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.settings.issuer)
    }
}

impl Issuer {
    /// Checks the settings; asks the issuer nothing yet. `secret` is drawn anew for each process.
    pub fn new(mut settings: Settings, secret: [u8; 32]) -> Result<Issuer, OidcError> {
        let fail = |setting| move |says| OidcError::Address { setting, says };
        let url = document::address(&settings.issuer).map_err(fail("issuer"))?;
        if url.query().is_some() {
            return Err(fail("issuer")("leave out what follows `?`".to_owned()));
        }
        let mut parts = url.path().split('/');
        if parts.any(|part| ["common", "organizations", "consumers"].contains(&part)) {
            return Err(OidcError::Tenants(settings.issuer));
        }
        if settings.client_id.is_empty() {
            return Err(OidcError::Client);
        }
        if !settings.redirect.is_empty() {
            document::address(&settings.redirect).map_err(fail("redirect"))?;
            settings.redirect.truncate(settings.redirect.trim_end_matches('/').len());
        }
        grants::check(&settings.grants)?;
        if !settings.audiences.contains(&settings.client_id) {
            settings.audiences.push(settings.client_id.clone());
        }
        let tenant = url.path().split('/').find(|part| is_guid(part)).map(str::to_owned);
        let keeper = Keeper::new(&settings).map_err(OidcError::Http)?;
        Ok(Issuer { settings, tenant, keeper: Arc::new(keeper), secret, used: Used::default() })
    }

    /// Fetches what the issuer says of itself, so that the first sign-in need not wait; a failure is logged.
    pub async fn warm(&self) {
        if self.keeper.at_hand().await.is_ok() {
            tracing::info!(issuer = self.settings.issuer, "the keys of the issuer are known");
        }
    }

    /// What a button says that leads to the issuer.
    pub fn title(&self) -> String {
        let url = Url::parse(&self.settings.issuer).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        match host.contains(".microsoftonline.") || host == "sts.windows.net" {
            true => "Microsoft".to_owned(),
            false => host,
        }
    }

    /// Where the issuer tells of itself.
    pub fn discovery(&self) -> String {
        document::discovery(&self.settings.issuer)
    }

    /// What a token is asked for with.
    pub fn scope(&self) -> &str {
        &self.settings.scope
    }

    /// How long a sign-in lasts.
    pub fn session(&self) -> Duration {
        self.settings.session
    }

    /// Whether people can sign in on the page.
    pub fn has_page(&self) -> bool {
        !self.settings.redirect.is_empty()
    }

    /// Whether a text could be a token of an issuer at all.
    pub fn is_token(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Who bears a token.
    pub async fn bearer(&self, token: &str) -> Result<Bearer, TokenError> {
        let claims = self.claims(token, &self.settings.audiences).await?;
        self.grant(&claims)
    }

    fn grant(&self, claims: &Map<String, Json>) -> Result<Bearer, TokenError> {
        grants::bearer(claims, &self.settings, Instant::now())
    }

    /// What a token says, once it is believed.
    async fn claims(&self, token: &str, audiences: &[String]) -> Result<Map<String, Json>, TokenError> {
        let head = token::head(token)?;
        let known = self.keeper.at_hand().await.map_err(TokenError::Unreachable)?;
        let claims = match token::verify(token, &head, &known.keys) {
            // The issuer may have turned to another key.
            Err(TokenError::Key) => self.again(token, &head, &known, TokenError::Key).await,
            Err(TokenError::Signature) if head.kid.is_none() => {
                self.again(token, &head, &known, TokenError::Signature).await
            }
            other => other,
        }?;
        let expected = Expected { issuer: &self.settings.issuer, tenant: self.tenant.as_deref(), audiences };
        token::check(&claims, &expected)?;
        Ok(claims)
    }

    async fn again(
        &self,
        token: &str,
        head: &token::Head,
        known: &Arc<known::Known>,
        before: TokenError,
    ) -> Result<Map<String, Json>, TokenError> {
        match self.keeper.newer(Some(known)).await {
            Ok(newer) => token::verify(token, head, &newer.keys),
            Err(_) => Err(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::users::Role;

    fn settings(issuer: &str) -> Settings {
        let grant = Grant { value: "audit.reader".to_owned(), ..Grant::of("roles", Role::Reader) };
        Settings {
            issuer: issuer.to_owned(),
            client_id: "client".to_owned(),
            client_secret: String::new(),
            audiences: Vec::new(),
            redirect: "https://audit.contoso.com/".to_owned(),
            scope: String::new(),
            grants: vec![grant],
            session: Duration::from_secs(60),
            keys_every: Duration::from_secs(60),
            keys_again: Duration::from_secs(60),
        }
    }

    fn says(settings: Settings) -> String {
        Issuer::new(settings, [0; 32]).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_issuer_is_one_and_is_reached_safely() {
        let tenant = "7d000000-0000-4000-8000-0000000000d1";
        let entra = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let issuer = Issuer::new(settings(&entra), [0; 32]).unwrap();
        assert_eq!((issuer.tenant.as_deref(), issuer.title().as_str()), (Some(tenant), "Microsoft"));
        assert_eq!(issuer.settings.audiences, ["client"]);
        assert_eq!(issuer.settings.redirect, "https://audit.contoso.com");
        for good in ["http://127.0.0.1:9400", "http://localhost:1/realms/a", "https://sts.windows.net/x/"] {
            assert_eq!(says(settings(good)), "", "{good}");
        }
        for (issuer, part) in [
            ("http://login.example", "https"),
            ("http://127.0.0.1.evil.example", "https"),
            ("login.microsoftonline.com", "understand `issuer`"),
            ("ftp://login.example", "https"),
            ("https://me:secret@login.example", "leave out"),
            ("https://login.example?x=1", "leave out"),
            ("https://login.example#x", "leave out"),
            ("https://login.microsoftonline.com/common/v2.0", "name yours"),
            ("https://login.microsoftonline.com/organizations/v2.0", "name yours"),
        ] {
            let says = says(settings(issuer));
            assert!(says.contains(part), "{issuer}: {says}");
        }
    }

    #[test]
    fn nobody_is_let_in_by_what_people_can_change() {
        let mut lax = settings("https://login.example");
        lax.grants[0].claim = "email".to_owned();
        assert!(says(lax).contains("people cannot change"));
        let mut open = settings("https://login.example");
        open.grants[0].value = String::new();
        assert!(says(open).contains("say by which `value`"));
        let mut none = settings("https://login.example");
        none.grants.clear();
        assert!(says(none).contains("[[serve.oidc.roles]]"));
    }
}
