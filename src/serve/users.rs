//! Who may sign in: a file of people with their roles, passwords' verifiers, tokens and scopes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::scram::Verifier;
use crate::query::Scope;

/// What a person may do besides asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees neither raw records nor what names a credential.
    Reader,
    Analyst,
    /// Sees what others asked.
    Admin,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
        }
    }
}

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub role: Role,
    pub scope: Scope,
}

impl Person {
    /// Whoever sits at the machine, where no file of users is set.
    pub fn local() -> Person {
        Person { name: "local".to_owned(), role: Role::Admin, scope: Scope::default() }
    }
}

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub role: Role,
    /// `SCRAM-SHA-256$...`, as PostgreSQL has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verifier: String,
    /// SHA-256 of each bearer token, in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Names or ids; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// Ids; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
}

/// A file of users that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("read the users in `{path}`; make it with `agentrail user add NAME`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("understand the users in `{path}`: {says}")]
    Understand { path: PathBuf, says: String },
    #[error("write the users to `{path}`")]
    Write { path: PathBuf, source: std::io::Error },
}

/// The people of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Users(pub BTreeMap<String, User>);

impl Users {
    pub fn read(path: &Path) -> Result<Users, UsersError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| UsersError::Read { path: path.to_owned(), source })?;
        let wrong = |says: String| UsersError::Understand { path: path.to_owned(), says };
        let users: Users = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        for (name, user) in &users.0 {
            if !user.verifier.is_empty() && Verifier::parse(&user.verifier).is_none() {
                return Err(wrong(format!("the verifier of {name} is none of SCRAM-SHA-256")));
            }
            if let Some(token) = user.tokens.iter().find(|t| t.len() != 64) {
                return Err(wrong(format!("`{token}`, a token of {name}, is no SHA-256 in hex")));
            }
        }
        Ok(users)
    }

    /// Writes the whole file, readable by its owner alone; who reads it meanwhile finds the old one.
    pub fn write(&self, path: &Path) -> Result<(), UsersError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let fail = |source| UsersError::Write { path: path.to_owned(), source };
        let text = toml::to_string(self)
            .map_err(|e| UsersError::Understand { path: path.to_owned(), says: e.to_string() })?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let mut open = std::fs::OpenOptions::new();
        let mut file =
            open.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(fail)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        std::fs::rename(&beside, path).map_err(fail)
    }

    fn person(&self, name: &str) -> Option<Person> {
        let user = self.0.get(name)?;
        let scope = Scope {
            organizations: user.organizations.clone(),
            projects: user.projects.clone(),
            masked: user.role == Role::Reader,
            only_of: (user.role != Role::Admin).then(|| name.to_owned()),
        };
        Some(Person { name: name.to_owned(), role: user.role, scope })
    }
}

/// The hash under which a bearer token is kept.
pub fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The users as their file says now: it is read again when it changes.
#[derive(Debug)]
pub struct Directory {
    /// `None` where everybody who reaches the door is let in.
    path: Option<PathBuf>,
    kept: Mutex<(Option<SystemTime>, Arc<Users>)>,
    /// Makes the sign-in of a name that is not there look like any other.
    secret: [u8; 32],
}

impl Directory {
    pub fn open(path: Option<PathBuf>, secret: [u8; 32]) -> Result<Directory, UsersError> {
        let users = path.as_deref().map(Users::read).transpose()?.unwrap_or_default();
        let changed = path.as_deref().and_then(changed);
        Ok(Directory { path, kept: Mutex::new((changed, Arc::new(users))), secret })
    }

    /// Whether nobody has to sign in.
    pub fn is_open(&self) -> bool {
        self.path.is_none()
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

    /// The person of a name, once the sign-in is done.
    pub fn person(&self, name: &str) -> Option<Person> {
        self.users().person(name)
    }

    /// What the password of a name is proved with.
    pub fn verifier(&self, name: &str) -> Verifier {
        let users = self.users();
        let known = users.0.get(name).and_then(|user| Verifier::parse(&user.verifier));
        known.unwrap_or_else(|| Verifier::of_nobody(name, &self.secret))
    }

    /// Who signs in with a name and a password.
    pub fn with_password(&self, name: &str, password: &str) -> Option<Person> {
        let is_right = self.verifier(name).proves(password);
        self.person(name).filter(|_| is_right)
    }

    /// Who bears a token.
    pub fn with_token(&self, token: &str) -> Option<Person> {
        let hash = token_hash(token);
        let users = self.users();
        // Hashes of random tokens: how far one agrees with another tells nothing of a token.
        let (name, _) = users.0.iter().find(|(_, user)| user.tokens.contains(&hash))?;
        users.person(name)
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_sign_in_as_the_file_says_and_a_change_counts_at_once() {
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
        let ada = directory.with_password("ada", "open sesame").unwrap();
        assert!(ada.scope.masked && ada.scope.only_of.as_deref() == Some("ada"));
        assert_eq!(directory.with_token("bearer of ada"), Some(ada));
        for (name, password) in [("ada", "open"), ("ada", ""), ("eve", "open sesame"), ("", "")] {
            assert_eq!(directory.with_password(name, password), None, "{name}");
        }
        assert_eq!(directory.with_token(&token_hash("bearer of ada")), None);
        users.0.insert("eve".to_owned(), user(Role::Admin));
        users.0.remove("ada");
        std::thread::sleep(std::time::Duration::from_millis(20));
        users.write(&path).unwrap();
        assert_eq!(directory.with_password("ada", "open sesame"), None);
        assert_eq!(directory.with_password("eve", "open sesame").unwrap().role, Role::Admin);
        std::fs::write(&path, "[eve]\nrole = \"emperor\"\n").unwrap();
        assert!(directory.person("eve").is_some());
        let error = Users::read(&path).unwrap_err().to_string();
        assert!(error.contains("understand the users"), "{error}");
    }
}
