//! Who may sign in: a file of people with their roles, passwords' verifiers, tokens and scopes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// As it is shown. Somebody of the file and somebody of an issuer can be called the same.
    pub name: String,
    /// What nobody else has: bounds are kept by it, and the log of queries says it.
    pub key: String,
    pub role: Role,
    pub scope: Scope,
    /// When the sign-in ends; that of people of the file ends with their entry.
    pub until: Option<Instant>,
}

/// What stands between the name of an issuer's person and their id in a key, and in no name of the file.
pub(super) const OF_ISSUER: &str = " (oidc ";

impl Person {
    /// Whoever sits at the machine, where no file of users is set.
    pub fn local() -> Person {
        let name = "local".to_owned();
        Person { key: name.clone(), name, role: Role::Admin, scope: Scope::default(), until: None }
    }

    /// Whether the sign-in has ended.
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
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
            if name.contains(OF_ISSUER) {
                return Err(wrong(format!("`{name}` is how the people of the issuer are told apart")));
            }
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

    /// Somebody of the file.
    pub(super) fn person(&self, name: &str) -> Option<Person> {
        let user = self.0.get(name)?;
        let scope = Scope {
            organizations: user.organizations.clone(),
            projects: user.projects.clone(),
            masked: user.role == Role::Reader,
            only_of: (user.role != Role::Admin).then(|| name.to_owned()),
        };
        let (name, key) = (name.to_owned(), name.to_owned());
        Some(Person { name, key, role: user.role, scope, until: None })
    }
}

/// The hash under which a bearer token is kept.
pub fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_understood_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        for (text, part) in [
            ("[eve]\nrole = \"emperor\"\n", "understand the users"),
            ("[eve]\nrole = \"admin\"\nverifier = \"md5\"\n", "the verifier of eve"),
            ("[eve]\nrole = \"admin\"\ntokens = [\"abc\"]\n", "a token of eve"),
            ("[\"ada (oidc o1 of a)\"]\nrole = \"admin\"\n", "the issuer"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Users::read(&path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(Users::read(&folder.path().join("none")).is_err());
    }
}
