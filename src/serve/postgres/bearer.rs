//! OAUTHBEARER (RFC 7628) as PostgreSQL 18 has it: the token in a client's first message, and where to get one.

use serde_json::json;

use crate::serve::oidc::Issuer;

pub(super) const MECHANISM: &str = "OAUTHBEARER";
const SEPARATOR: char = '\u{1}';

/// The token of a first message; `None` where the client asks where to get one.
pub(super) fn token(message: &[u8]) -> Result<Option<&str>, &'static str> {
    let form = "understand the OAUTHBEARER message of the client";
    let message = std::str::from_utf8(message).map_err(|_| form)?;
    let mut parts = message.splitn(3, ',');
    match (parts.next(), parts.next()) {
        (Some("n" | "y"), Some("")) => {}
        (Some(flag), _) if flag.starts_with("p=") => {
            return Err("sign in: the client asks for channel binding, which is not offered");
        }
        (Some("n" | "y"), Some(_)) => return Err("sign in: the client asks to act for somebody else"),
        _ => return Err(form),
    }
    let rest = parts.next().and_then(|rest| rest.strip_prefix(SEPARATOR)).ok_or(form)?;
    // Each pair has a separator behind it, and there is one behind the last.
    let pairs = rest.strip_suffix(SEPARATOR).ok_or(form)?;
    let mut auth = None;
    for pair in pairs.split_terminator(SEPARATOR) {
        let (name, value) = pair.split_once('=').ok_or(form)?;
        if name == "auth" && auth.replace(value).is_some() {
            return Err(form);
        }
    }
    let auth = auth.ok_or(form)?;
    if auth.is_empty() {
        return Ok(None);
    }
    let (scheme, token) = auth.split_once(' ').ok_or(form)?;
    let token = token.trim_start_matches(' ');
    match scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        true => Ok(Some(token)),
        false => Err("sign in: OAUTHBEARER takes bearer tokens"),
    }
}

/// What a client is told that has no token, or one that is not taken.
pub(super) fn challenge(issuer: &Issuer) -> String {
    json!({
        "status": "invalid_token",
        "openid-configuration": issuer.discovery(),
        "scope": issuer.scope(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_message_is_found() {
        for (message, wanted) in [
            ("n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", Some("a.b.c")),
            ("y,,\u{1}host=h\u{1}auth=bearer   x==\u{1}port=5432\u{1}\u{1}", Some("x==")),
            ("n,,\u{1}auth=\u{1}\u{1}", None),
        ] {
            assert_eq!(token(message.as_bytes()), Ok(wanted), "{message:?}");
        }
        for wrong in [
            "",
            "n,,",
            "n,,\u{1}",
            "n,,\u{1}\u{1}",
            "n,,auth=Bearer a\u{1}\u{1}",
            "n,,\u{1}auth=Bearer a",
            "n,,\u{1}auth=Basic a\u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}",
            "n,,\u{1}auth\u{1}\u{1}",
            "n,a=eve,\u{1}auth=Bearer a\u{1}\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer a\u{1}\u{1}",
            "x,,\u{1}auth=Bearer a\u{1}\u{1}",
        ] {
            assert!(token(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(token(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
    }
}
