//! Personal access tokens over time: made, changed, listed, revoked.

use std::collections::{BTreeMap, HashMap};

use super::newest::Source;
use crate::model::{Identity, Time};

/// What was told of tokens, by their authorization id, in the order of when it was so.
#[derive(Default)]
pub(super) struct Tokens(HashMap<String, BTreeMap<(Time, Source), Identity>>);

/// A token as it was at a moment.
pub(super) struct Token<'t> {
    pub name: Option<&'t str>,
    pub owner: Option<&'t str>,
    pub scopes: Option<&'t str>,
    /// A moment at which it was there already.
    pub since: Option<Time>,
    /// The newest of what tells that.
    pub source: Source,
    /// When it was revoked, by then, and what tells that.
    pub revoked: Option<(Time, Source)>,
}

impl Tokens {
    pub fn learn(&mut self, token: &Identity, source: Source) {
        let all = self.0.entry(token.id.clone()).or_default();
        all.insert((when(token).unwrap_or(source.known), source), token.clone());
    }

    /// What a token was at a moment, as far as it was told; before anything was told of it, what was first.
    pub fn at(&self, id: &str, at: Time) -> Option<Token<'_>> {
        let all = self.0.get(id)?;
        let ((first, _), _) = all.first_key_value()?;
        let by_then = || all.iter().take_while(move |((when, _), _)| *when <= at.max(*first));
        fn last<'t>(of: impl Iterator<Item = Option<&'t String>>) -> Option<&'t str> {
            of.flatten().last().map(String::as_str)
        }
        let revoked = by_then().filter(|((when, _), token)| is_end(token) && *when <= at);
        Some(Token {
            name: last(by_then().map(|(_, token)| token.name.as_ref())),
            owner: last(by_then().map(|(_, token)| token.principal_name.as_ref())),
            scopes: last(by_then().map(|(_, token)| token.scopes.as_ref())),
            since: by_then().filter_map(|(_, token)| token.valid_from).min(),
            source: by_then().map(|((_, source), _)| *source).last()?,
            revoked: revoked.map(|(key, _)| *key).next(),
        })
    }

    pub fn absorb(&mut self, other: Tokens) {
        for (id, all) in other.0 {
            self.0.entry(id).or_default().extend(all);
        }
    }
}

/// Since when what is told was so, where that is not when it was seen: an event names one time, a listing both,
/// since when the token is valid and until when it will be.
fn when(token: &Identity) -> Option<Time> {
    match (token.valid_from, token.valid_until) {
        (Some(when), None) | (None, Some(when)) => Some(when),
        _ => None,
    }
}

/// Whether it says that the token was revoked.
fn is_end(token: &Identity) -> bool {
    token.valid_from.is_none() && token.valid_until.is_some()
}
