//! Who somebody is: the one place where a password, a token or an earlier sign-in becomes a person.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::Semaphore;

use super::oidc::{Bearer, Issuer, TokenError};
use super::scram::{Exchange, ScramError, Verifier};
use super::users::{Person, Users, UsersError, token_hash};
use crate::model::is_guid;

/// A password longer than this is none, and not worth the work.
const MOST_PASSWORD: usize = 1024;
/// Passwords that are proved at once; a proof takes some milliseconds of a thread.
static PROOFS: Semaphore = Semaphore::const_new(2);

/// What somebody proves who they are with.
#[derive(Clone, Copy)]
pub enum Credential<'c> {
    Password {
        name: &'c str,
        password: &'c str,
    },
    /// One of the file, or of the issuer.
    Token(&'c str),
    /// The same of somebody who says what they are called.
    TokenOf {
        name: &'c str,
        token: &'c str,
    },
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("sign in: name or password is wrong")]
    Password,
    #[error("sign in: nobody bears this token; was it replaced by `agentrail user add`, or is it cut?")]
    Token,
    #[error("{0}")]
    Issuer(#[from] TokenError),
    #[error("sign in as `{asked}`: the token is of `{is}`, who must be named")]
    Another { is: String, asked: String },
}

/// A sign-in that was done, as a door keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing(Kept);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    /// Of the file: the hash of what proved the password then, so that another password ends it.
    File { name: String, proof: String },
    /// Of the issuer, who is not asked again before it ends.
    Issuer(Person),
}

impl Standing {
    /// Whose it is, as [`Person::key`] says.
    pub(super) fn key(&self) -> &str {
        match &self.0 {
            Kept::File { name, .. } => name,
            Kept::Issuer(person) => &person.key,
        }
    }
}

/// A sign-in by SCRAM that is under way.
#[derive(Debug)]
pub struct Dialogue {
    name: String,
    exchange: Exchange,
}

/// The people of the file, as it says now (it is read again when it changes), and those of an issuer.
#[derive(Debug)]
pub struct Directory {
    /// `None` where there is no file.
    path: Option<PathBuf>,
    kept: Mutex<(Option<SystemTime>, Arc<Users>)>,
    /// Makes the sign-in of a name that is not there look like any other.
    secret: [u8; 32],
    issuer: Option<Arc<Issuer>>,
}

impl Directory {
    pub fn open(path: Option<PathBuf>, secret: [u8; 32]) -> Result<Directory, UsersError> {
        let users = path.as_deref().map(Users::read).transpose()?.unwrap_or_default();
        let changed = path.as_deref().and_then(changed);
        Ok(Directory { path, kept: Mutex::new((changed, Arc::new(users))), secret, issuer: None })
    }

    /// Lets in also whom an issuer vouches for.
    #[must_use]
    pub fn trusting(self, issuer: Option<Arc<Issuer>>) -> Directory {
        Directory { issuer, ..self }
    }

    /// Whether nobody has to sign in.
    pub fn is_open(&self) -> bool {
        self.path.is_none() && self.issuer.is_none()
    }

    /// Whether anybody has a password.
    pub fn has_users(&self) -> bool {
        self.path.is_some()
    }

    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.issuer.as_ref()
    }

    fn users(&self) -> Arc<Users> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else { return kept.1.clone() };
        let now = changed(path);
        if now != kept.0 {
            match Users::read(path) {
                Ok(users) => *kept = (now, Arc::new(users)),
                // Half a file is no reason to let nobody in, nor to keep those in who were removed for long.
                Err(error) => tracing::error!(%error, "the users of before are still let in"),
            }
        }
        kept.1.clone()
    }

    /// Names of the file that look like those of an issuer's people.
    pub fn alike(&self) -> Vec<String> {
        let users = self.users();
        users.0.keys().filter(|name| looks_issued(name)).cloned().collect()
    }

    /// What the password of a name is proved with.
    fn verifier(&self, name: &str) -> Verifier {
        let users = self.users();
        let known = users.0.get(name).and_then(|user| Verifier::parse(&user.verifier));
        known.unwrap_or_else(|| Verifier::of_nobody(name, &self.secret))
    }

    fn with_token(&self, token: &str) -> Option<Person> {
        let hash = token_hash(token);
        let users = self.users();
        // Hashes of random tokens: how far one agrees with another tells nothing of a token.
        let (name, _) = users.0.iter().find(|(_, user)| user.tokens.contains(&hash))?;
        users.person(name)
    }

    async fn with_issuer(&self, token: &str) -> Result<Bearer, Refused> {
        let issuer = self.issuer.as_ref().filter(|_| Issuer::is_token(token)).ok_or(Refused::Token)?;
        let bearer = issuer.bearer(token).await?;
        tracing::debug!(
            person = bearer.person.key,
            client = bearer.client,
            "a token of the issuer was believed"
        );
        Ok(bearer)
    }

    /// Who proves with this who they are.
    pub async fn admit(&self, credential: Credential<'_>) -> Result<Person, Refused> {
        match credential {
            Credential::Password { name, password } => {
                if password.len() > MOST_PASSWORD {
                    return Err(Refused::Password);
                }
                let (verifier, password) = (self.verifier(name), password.to_owned());
                let _turn = PROOFS.acquire().await;
                let proved = tokio::task::spawn_blocking(move || verifier.proves(&password)).await;
                let is_right = proved.unwrap_or(false);
                self.users().person(name).filter(|_| is_right).ok_or(Refused::Password)
            }
            Credential::Token(token) => match self.with_token(token) {
                Some(person) => Ok(person),
                None => Ok(self.with_issuer(token).await?.person),
            },
            Credential::TokenOf { name, token } => {
                let another = |is: String| Refused::Another { is, asked: name.to_owned() };
                if let Some(person) = self.with_token(token) {
                    return if person.name == name { Ok(person) } else { Err(another(person.name)) };
                }
                let bearer = self.with_issuer(token).await?;
                if bearer.goes_by(name) { Ok(bearer.person) } else { Err(another(bearer.person.name)) }
            }
        }
    }

    /// Answers the first message of SCRAM; `nonce` is drawn anew.
    pub(super) fn begin(
        &self,
        name: &str,
        first: &[u8],
        nonce: &str,
    ) -> Result<(Dialogue, String), ScramError> {
        let (exchange, answer) = Exchange::begin(self.verifier(name), first, nonce)?;
        Ok((Dialogue { name: name.to_owned(), exchange }, answer))
    }

    /// Who sent the last message of SCRAM, and the answer to it.
    pub(super) fn end(&self, dialogue: &Dialogue, last: &[u8]) -> Result<(Person, String), Refused> {
        let answer = dialogue.exchange.end(last).map_err(|_| Refused::Password)?;
        let person = self.users().person(&dialogue.name).ok_or(Refused::Password)?;
        Ok((person, answer))
    }

    /// What a door keeps of a sign-in.
    pub fn standing(&self, person: &Person) -> Standing {
        Standing(match person.until {
            Some(_) => Kept::Issuer(person.clone()),
            None => Kept::File { name: person.name.clone(), proof: self.proof(&person.name) },
        })
    }

    /// Whose sign-in it was, if it still stands: whoever is taken out of the file is out at once.
    pub fn again(&self, standing: &Standing) -> Option<Person> {
        match &standing.0 {
            Kept::File { name, proof } => self.users().person(name).filter(|_| self.proof(name) == *proof),
            Kept::Issuer(person) => Some(person.clone()).filter(|person| !person.is_over(Instant::now())),
        }
    }

    fn proof(&self, name: &str) -> String {
        token_hash(&self.verifier(name).to_string())
    }
}

/// Whether a name is of the kind that issuers give: an address, or the id of an application.
pub(super) fn looks_issued(name: &str) -> bool {
    name.contains('@') || is_guid(name)
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::serve::users::{Role, User};

    #[tokio::test]
    async fn people_sign_in_as_the_file_says_and_a_change_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let user = |role| User {
            role,
            verifier: Verifier::of("open sesame", vec![3; 16]).to_string(),
            tokens: vec![token_hash("bearer of ada")],
            organizations: vec!["contoso".to_owned()],
            projects: Vec::new(),
        };
        let mut users = Users(BTreeMap::from([("ada".to_owned(), user(Role::Reader))]));
        users.write(&path).unwrap();
        let directory = Directory::open(Some(path.clone()), [1; 32]).unwrap();
        let password =
            async |name, password| directory.admit(Credential::Password { name, password }).await.ok();
        let token = async |token| directory.admit(Credential::Token(token)).await.ok();
        let ada = password("ada", "open sesame").await.unwrap();
        assert!(ada.scope.masked && ada.scope.only_of.as_deref() == Some("ada"));
        assert_eq!(token("bearer of ada").await, Some(ada.clone()));
        let standing = directory.standing(&ada);
        assert_eq!(directory.again(&standing), Some(ada));
        for (name, wrong) in [("ada", "open"), ("ada", ""), ("eve", "open sesame"), ("", "")] {
            assert_eq!(password(name, wrong).await, None, "{name}");
        }
        for wrong in [token_hash("bearer of ada").as_str(), "a.b.c", ""] {
            assert_eq!(token(wrong).await, None, "{wrong}");
        }
        let of = |name, token| directory.admit(Credential::TokenOf { name, token });
        assert!(of("ada", "bearer of ada").await.is_ok());
        assert!(matches!(of("eve", "bearer of ada").await, Err(Refused::Another { .. })));
        users.0.insert("eve".to_owned(), user(Role::Admin));
        users.0.remove("ada");
        std::thread::sleep(std::time::Duration::from_millis(20));
        users.write(&path).unwrap();
        assert_eq!((password("ada", "open sesame").await, directory.again(&standing)), (None, None));
        assert_eq!(password("eve", "open sesame").await.unwrap().role, Role::Admin);
        std::fs::write(&path, "[eve]\nrole = \"emperor\"\n").unwrap();
        assert!(password("eve", "open sesame").await.is_some());
    }

    #[test]
    fn names_of_an_issuer_are_told_by_their_form() {
        assert!(looks_issued("ada@contoso.com") && looks_issued("7d000000-0000-4000-8000-0000000000d1"));
        assert!(!looks_issued("ada") && !looks_issued("7d000000000040008000-0000000000d1-000"));
    }
}
