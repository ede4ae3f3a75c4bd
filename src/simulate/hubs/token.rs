//! Whether a token that a client puts is one to trust, and for how long.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::address::{covers, path};

/// The audience of tokens from the identity platform.
const RESOURCE: &str = "https://eventhubs.azure.net";

/// A token as a client put it, kept for assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `jwt` or `servicebus.windows.net:sastoken`.
    pub kind: String,
    /// What it is for, as the client spelt it.
    pub audience: String,
    pub text: String,
    /// Whether it was taken.
    pub accepted: bool,
}

/// The name and key of the namespace's shared access.
#[derive(Clone, Debug)]
pub struct SharedKey {
    pub name: String,
    pub key: String,
}

/// When the token ends, in milliseconds since 1970; or why it is refused.
pub fn check(kind: &str, text: &str, audience: &str, key: &SharedKey, now: i64) -> Result<i64, String> {
    match kind {
        "servicebus.windows.net:sastoken" => shared_access(text, audience, key, now),
        "jwt" => web_token(text, now),
        other => Err(format!("BadRequest: token type '{other}' is not supported.")),
    }
}

fn shared_access(text: &str, audience: &str, key: &SharedKey, now: i64) -> Result<i64, String> {
    let malformed = || "MalformedToken: the SAS token is not well formed.".to_owned();
    let fields = text.strip_prefix("SharedAccessSignature ").ok_or_else(malformed)?;
    let field = |name: &str| {
        fields.split('&').find_map(|f| f.split_once('=').filter(|(n, _)| *n == name)).map(|(_, value)| value)
    };
    let (Some(resource), Some(signature), Some(expiry), Some(signer)) =
        (field("sr"), field("sig"), field("se"), field("skn"))
    else {
        return Err(malformed());
    };
    if decoded(signer).as_deref() != Some(key.name.as_str()) {
        return Err("InvalidSignature: the key name is not known.".to_owned());
    }
    let signature = decoded(signature).and_then(|s| STANDARD.decode(s).ok()).ok_or_else(malformed)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.key.as_bytes()).map_err(|_| malformed())?;
    mac.update(format!("{resource}\n{expiry}").as_bytes());
    mac.verify_slice(&signature)
        .map_err(|_| "InvalidSignature: The token has an invalid signature.".to_owned())?;
    let ends = expiry.parse::<i64>().map_err(|_| malformed())?.saturating_mul(1000);
    if ends <= now {
        return Err("ExpiredToken: The token is expired.".to_owned());
    }
    let resource = decoded(resource).ok_or_else(malformed)?;
    if !covers(&path(&resource), &path(audience)) {
        return Err("InvalidAudience: the token is for another resource.".to_owned());
    }
    Ok(ends)
}

/// Claims are checked, the signature is not: the platform's keys are not ours. A token that is no JWT at
/// all stands for one that never ends, so that tests can use plain words.
fn web_token(text: &str, now: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Err("MissingToken: the token is empty.".to_owned());
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(i64::MAX);
    };
    let malformed = || "MalformedToken: the JWT is not well formed.".to_owned();
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| malformed())?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).map_err(|_| malformed())?;
    if let Some(audience) = claims.get("aud").and_then(|a| a.as_str())
        && audience.trim_end_matches('/') != RESOURCE
    {
        return Err(format!("InvalidAudience: the token is for '{audience}'."));
    }
    let Some(ends) = claims.get("exp").and_then(serde_json::Value::as_i64) else { return Ok(i64::MAX) };
    let ends = ends.saturating_mul(1000);
    if ends <= now { Err("ExpiredToken: The token is expired.".to_owned()) } else { Ok(ends) }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SharedKey {
        SharedKey { name: "k".to_owned(), key: "secret".to_owned() }
    }

    fn sign(resource: &str, expiry: i64, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{resource}\n{expiry}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn=k")
    }

    #[test]
    fn shared_access_is_for_what_it_was_signed_for() {
        let kind = "servicebus.windows.net:sastoken";
        let good = sign("sb%3A%2F%2Fns%2Fhub", 2000, "secret");
        assert_eq!(check(kind, &good, "amqps://ns/hub/Partitions/0", &key(), 1_000_000), Ok(2_000_000));
        assert!(check(kind, &good, "amqps://ns/other", &key(), 1_000_000).is_err());
        assert!(check(kind, &good, "amqps://ns/hub", &key(), 2_000_000).is_err());
        let forged = sign("sb%3A%2F%2Fns%2Fhub", 2000, "other");
        assert!(check(kind, &forged, "amqps://ns/hub", &key(), 1_000_000).is_err());
        assert!(check(kind, "SharedAccessSignature sr=%4", "amqps://ns/hub", &key(), 0).is_err());
    }

    #[test]
    fn claims_of_web_tokens_are_checked() {
        let token = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        let good = token(r#"{"aud":"https://eventhubs.azure.net/","exp":10}"#);
        assert_eq!(check("jwt", &good, "a", &key(), 0), Ok(10_000));
        assert!(check("jwt", &good, "a", &key(), 10_000).is_err());
        assert!(check("jwt", &token(r#"{"aud":"https://storage.azure.com"}"#), "a", &key(), 0).is_err());
        assert!(check("jwt", "h.?.s", "a", &key(), 0).is_err());
        assert_eq!(check("jwt", "a word", "a", &key(), 0), Ok(i64::MAX));
    }
}
