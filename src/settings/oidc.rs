//! The section `[serve.oidc]`: the issuer by whose tokens people and programs sign in.

use serde::Deserialize;

use crate::serve::Role;

/// An issuer of tokens; without `issuer` there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    pub audience: Vec<String>,
    pub redirect: String,
    pub scope: String,
    pub roles: Vec<OidcRole>,
    pub session: u64,
    pub keys_every: u64,
    pub keys_again: u64,
}

/// Whoever has a value of a claim gets a role.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcRole {
    #[serde(default = "roles")]
    pub claim: String,
    pub value: String,
    pub role: Role,
    /// Names or ids; empty means all.
    #[serde(default)]
    pub organizations: Vec<String>,
    /// Ids; empty means all.
    #[serde(default)]
    pub projects: Vec<String>,
}

fn roles() -> String {
    "roles".to_owned()
}
