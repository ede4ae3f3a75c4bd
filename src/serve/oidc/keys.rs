//! The keys of an issuer (JSON Web Key Set): those that sign, by which algorithm.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// More are not looked at.
const MOST: usize = 100;

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// What it may have signed by.
    algorithms: Vec<Algorithm>,
    pub key: DecodingKey,
}

impl Key {
    /// Whether a token that names a key and an algorithm can be signed by this one.
    pub fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && id.is_none_or(|id| self.id.as_deref() == Some(id))
    }
}

#[derive(serde::Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// Reads a set; what is of no use in it is left out.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(text).map_err(|e| format!("its keys are no set of keys: {e}"))?;
    let keys: Vec<Key> = set.keys.into_iter().take(MOST).filter_map(key).collect();
    match keys.is_empty() {
        true => Err("it has no key that signs by RS256, PS256 or ES256".to_owned()),
        false => Ok(keys),
    }
}

fn key(said: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(said).ok()?;
    let by_kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(own) if own.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        // A secret that is published is none.
        _ => return None,
    };
    if !matches!(&jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let is_own = |algorithm: &Algorithm| {
        jwk.common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(*algorithm))
    };
    let algorithms: Vec<Algorithm> = by_kind.iter().copied().filter(is_own).collect();
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| !algorithms.is_empty())?;
    Some(Key { id: jwk.common.key_id, algorithms, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_sign_by_what_they_are_for() {
        let rsa = |more: serde_json::Value| {
            let mut all = json!({ "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" });
            let own = all.as_object_mut().unwrap();
            more.as_object()
                .unwrap()
                .iter()
                .for_each(|(name, value)| _ = own.insert(name.clone(), value.clone()));
            all
        };
        let read = |key: serde_json::Value| parse(json!({ "keys": [key] }).to_string().as_bytes());
        let any = read(rsa(json!({ "use": "sig", "x5c": ["AAAA"], "issuer": "https://a" }))).unwrap();
        for (id, algorithm, fits) in [
            (Some("a"), Algorithm::RS256, true),
            (Some("a"), Algorithm::PS256, true),
            (None, Algorithm::RS256, true),
            (Some("b"), Algorithm::RS256, false),
            (Some("a"), Algorithm::ES256, false),
            (Some("a"), Algorithm::HS256, false),
            (Some("a"), Algorithm::RS384, false),
        ] {
            assert_eq!(any[0].fits(id, algorithm), fits, "{id:?} {algorithm:?}");
        }
        let one = read(rsa(json!({ "alg": "PS256" }))).unwrap();
        assert!(one[0].fits(Some("a"), Algorithm::PS256) && !one[0].fits(Some("a"), Algorithm::RS256));
        for useless in [
            rsa(json!({ "use": "enc" })),
            rsa(json!({ "alg": "RS512" })),
            rsa(json!({ "alg": "none" })),
            rsa(json!({ "n": "?" })),
            json!({ "kty": "oct", "kid": "a", "k": "AQAB", "alg": "HS256" }),
            json!({ "kty": "EC", "kid": "a", "crv": "P-384", "x": "AQAB", "y": "AQAB" }),
            json!("a"),
        ] {
            assert!(read(useless.clone()).is_err(), "{useless}");
        }
        let mixed = json!({ "keys": [7, { "kty": "new" }, rsa(json!({}))] });
        assert_eq!(parse(mixed.to_string().as_bytes()).unwrap().len(), 1);
        assert!(parse(b"{}").is_err() && parse(b"").is_err());
    }
}
