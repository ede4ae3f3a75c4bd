//! Who bears a token, and what the grants of the settings let them see.

use std::time::Instant;

use serde_json::{Map, Value as Json};

use super::token::{TokenError, text, texts};
use super::{Bearer, OidcError, Settings};
use crate::query::Scope;
use crate::serve::users::{OF_ISSUER, Person, Role};

/// Claims that the issuer vouches for. A name or an address of mail people can change themselves, or take over.
const CLAIMS: [&str; 4] = ["roles", "groups", "oid", "sub"];
/// What a person or a program is called by, in this order.
const NAMES: [&str; 5] = ["preferred_username", "upn", "unique_name", "appid", "azp"];
const MOST_NAME: usize = 128;
const MOST_ID: usize = 255;

/// Whoever has a value of a claim gets a role; the first grant that fits counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `roles`, `groups`, `oid` or `sub`.
    pub claim: String,
    pub value: String,
    pub role: Role,
    /// Names or ids; empty means all.
    pub organizations: Vec<String>,
    /// Ids; empty means all.
    pub projects: Vec<String>,
}

impl Grant {
    /// Of a claim without a value yet, and without bounds.
    pub fn of(claim: &str, role: Role) -> Grant {
        Grant {
            claim: claim.to_owned(),
            value: String::new(),
            role,
            organizations: Vec::new(),
            projects: Vec::new(),
        }
    }
}

pub(super) fn check(grants: &[Grant]) -> Result<(), OidcError> {
    if grants.is_empty() {
        return Err(OidcError::Nobody);
    }
    for grant in grants {
        if !CLAIMS.contains(&grant.claim.as_str()) {
            return Err(OidcError::Claim(grant.claim.clone()));
        }
        if grant.value.is_empty() {
            return Err(OidcError::Value(grant.claim.clone()));
        }
    }
    Ok(())
}

/// The person of claims that are believed.
pub(super) fn bearer(
    claims: &Map<String, Json>,
    settings: &Settings,
    now: Instant,
) -> Result<Bearer, TokenError> {
    let claim = if claims.contains_key("oid") { "oid" } else { "sub" };
    let id = text(claims, claim).filter(|id| is_id(id)).ok_or(TokenError::Claim(claim))?.to_owned();
    let name = NAMES.iter().find_map(|name| text(claims, name)).unwrap_or(&id);
    let name: String = name.chars().filter(|c| !c.is_control()).take(MOST_NAME).collect();
    let fits =
        |grant: &&Grant| texts(claims, &grant.claim).is_some_and(|own| own.contains(&grant.value.as_str()));
    let Some(grant) = settings.grants.iter().find(fits) else {
        return Err(TokenError::NoRole { name, hint: hint(claims) });
    };
    // No name of the file has such a mark, and no id a bracket, so this is nobody else's.
    let issuer = settings.issuer.split_once("://").map_or(settings.issuer.as_str(), |(_, rest)| rest);
    let key = format!("{name}{OF_ISSUER}{id} of {issuer})");
    let scope = Scope {
        organizations: grant.organizations.clone(),
        projects: grant.projects.clone(),
        masked: grant.role == Role::Reader,
        only_of: (grant.role != Role::Admin).then(|| key.clone()),
    };
    let person = Person { name, key, role: grant.role, scope, until: now.checked_add(settings.session) };
    let client = text(claims, "azp").or_else(|| text(claims, "appid")).map(str::to_owned);
    Ok(Bearer { person, id, client })
}

fn is_id(id: &str) -> bool {
    id.len() <= MOST_ID && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'(' && byte != b')')
}

/// Why a token may lack what was granted.
fn hint(claims: &Map<String, Json>) -> &'static str {
    let is_cut = claims.contains_key("hasgroups")
        || claims.get("_claim_names").is_some_and(|names| names.get("groups").is_some());
    match is_cut {
        true => "; it has more groups than it can name, so grant by an app role",
        false => "; assign the person a role of the application, or grant another in [[serve.oidc.roles]]",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        let grant = |claim: &str, value: &str, role, projects: &[&str]| Grant {
            value: value.to_owned(),
            projects: projects.iter().map(|one| (*one).to_owned()).collect(),
            ..Grant::of(claim, role)
        };
        Settings {
            issuer: "https://a/t".to_owned(),
            client_id: "client".to_owned(),
            client_secret: String::new(),
            audiences: Vec::new(),
            redirect: String::new(),
            scope: String::new(),
            grants: vec![
                grant("roles", "shop", Role::Reader, &["p1"]),
                grant("groups", "g1", Role::Analyst, &[]),
                grant("oid", "o9", Role::Admin, &[]),
            ],
            session: Duration::from_secs(60),
            keys_every: Duration::from_secs(60),
            keys_again: Duration::from_secs(60),
        }
    }

    fn of(claims: Json) -> Result<Bearer, TokenError> {
        bearer(claims.as_object().unwrap(), &settings(), Instant::now())
    }

    #[test]
    fn the_first_grant_counts_and_without_one_nobody_is_let_in() {
        let both = json!({ "oid": "o1", "sub": "s", "preferred_username": "ada", "roles": ["x", "shop"], "groups": ["g1"] });
        let ada = of(both).unwrap();
        assert_eq!(
            (ada.person.role, ada.person.scope.projects.as_slice()),
            (Role::Reader, &["p1".to_owned()][..])
        );
        assert!(ada.person.scope.masked && ada.person.until.is_some());
        assert_eq!((ada.person.name.as_str(), ada.person.key.as_str()), ("ada", "ada (oidc o1 of a/t)"));
        assert_eq!(ada.person.scope.only_of.as_deref(), Some("ada (oidc o1 of a/t)"));
        assert!(ada.goes_by("ADA") && ada.goes_by("o1") && !ada.goes_by("s") && !ada.goes_by(""));
        assert_eq!(of(json!({ "oid": "o2", "groups": "g1" })).unwrap().person.role, Role::Analyst);
        assert_eq!(of(json!({ "oid": "o9" })).unwrap().person.scope.only_of, None);
        for claims in [
            json!({ "sub": "s", "roles": [] }),
            json!({ "sub": "s", "roles": ["Shop"] }),
            json!({ "sub": "s", "roles": ["shop", 7] }),
            json!({ "sub": "s", "groups": ["shop"] }),
            json!({ "sub": "o9", "preferred_username": "o9" }),
        ] {
            assert!(matches!(of(claims.clone()), Err(TokenError::NoRole { .. })), "{claims}");
        }
        let many = of(json!({ "sub": "s", "_claim_names": { "groups": "src1" } })).unwrap_err();
        assert!(many.to_string().contains("more groups"), "{many}");
    }

    #[test]
    fn nobody_is_somebody_else() {
        let key = |claims: Json| of(claims).map(|own| own.person.key);
        let (one, other) = (
            key(json!({ "oid": "o1", "preferred_username": "ada", "roles": "shop" })).unwrap(),
            key(json!({ "oid": "o2", "preferred_username": "ada", "roles": "shop" })).unwrap(),
        );
        assert_ne!(one, other);
        // An id that could play another name and id is none.
        for id in ["x (oidc o1", "o1)", "", " ", "\u{e4}", "a\nb"] {
            let refused = key(json!({ "oid": id, "preferred_username": "ada", "roles": "shop" }));
            assert_eq!(refused, Err(TokenError::Claim("oid")), "{id}");
        }
        assert_eq!(key(json!({ "roles": "shop" })), Err(TokenError::Claim("sub")));
        assert_eq!(key(json!({ "oid": 7, "sub": "s", "roles": "shop" })), Err(TokenError::Claim("oid")));
        let program = of(json!({ "sub": "s", "appid": "c1", "roles": "shop" })).unwrap();
        assert_eq!((program.person.name.as_str(), program.client.as_deref()), ("c1", Some("c1")));
    }
}
