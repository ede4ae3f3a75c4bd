//! The tokens that were put, and what each connection may do by them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::address::{covers, path};
use super::refusal::held;
use super::token::Token;

/// The rights of all connections.
#[derive(Default)]
pub struct Rights {
    /// By connection and audience: when the right ends, in milliseconds since 1970.
    granted: Mutex<BTreeMap<(u64, String), i64>>,
    tokens: Mutex<Vec<Token>>,
}

impl Rights {
    /// Keeps a token for assertions, and grants its right if it has been accepted.
    pub fn record(&self, connection: u64, token: Token, ends: Option<i64>) {
        if let Some(ends) = ends {
            held(&self.granted).insert((connection, path(&token.audience)), ends);
        }
        held(&self.tokens).push(token);
    }

    /// Whether a connection may use an entity now.
    pub fn allow(&self, connection: u64, path: &str, now: i64) -> bool {
        self.any(connection, now, |audience| covers(audience, path))
    }

    /// Whether a connection may ask about a hub now. Clients put tokens for all sorts of paths before they
    /// ask, such as `hub/consumergroups/group/$management`: any right within the hub will do.
    pub fn allow_asking(&self, connection: u64, hub: &str, now: i64) -> bool {
        let hub = hub.to_ascii_lowercase();
        self.any(connection, now, |audience| {
            audience == "$management" || covers(audience, &hub) || covers(&hub, audience)
        })
    }

    fn any(&self, connection: u64, now: i64, suits: impl Fn(&str) -> bool) -> bool {
        let granted = held(&self.granted);
        let mut rights = granted.range((connection, String::new())..(connection + 1, String::new()));
        rights.any(|((_, audience), ends)| *ends > now && suits(audience))
    }

    /// All rights end.
    pub fn expire(&self) {
        held(&self.granted).clear();
    }

    /// Forgets a connection that is gone.
    pub fn forget(&self, connection: u64) {
        held(&self.granted).retain(|(id, _), _| *id != connection);
    }

    /// Every token that was put, in order.
    pub fn tokens(&self) -> Vec<Token> {
        held(&self.tokens).clone()
    }
}
