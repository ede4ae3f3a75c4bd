//! Whether a token is to be believed: its form, its signature, and what it says of itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::keys::Key;

/// A token longer than this is none; with two hundred groups it has some 11,000 bytes.
const MOST: usize = 16 << 10;
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// Why nobody is let in by a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("understand the token: it is no signed JWT of at most {MOST} bytes")]
    Form,
    #[error("believe the token: it says that it is signed by {0}; RS256, PS256 and ES256 are taken")]
    Algorithm(String),
    #[error("believe the token: its issuer has no such key")]
    Key,
    #[error("believe the token: its signature is wrong")]
    Signature,
    #[error("believe the token: it has expired; get another")]
    Expired,
    #[error("believe the token: it is not valid yet; do the clocks agree?")]
    Early,
    #[error("believe the token: it is of `{is}`; get one of `{want}`")]
    Issuer { is: String, want: String },
    #[error("believe the token: it is for `{is}`; get one for `{want}`")]
    Audience { is: String, want: String },
    #[error("believe the token: it is of another tenant")]
    Tenant,
    #[error("believe the token: its `{0}` is missing, or is not what it must be")]
    Claim(&'static str),
    #[error("learn the keys of the issuer: {0}; try again later")]
    Unreachable(String),
    #[error("let `{name}` in: no claim of the token gives a role{hint}")]
    NoRole { name: String, hint: &'static str },
}

/// The head of a token. What it says of keys besides their id is left alone.
pub(super) struct Head {
    pub kid: Option<String>,
    pub algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Said {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Json>,
}

/// Reads the head of a token, of which nothing is believed yet.
pub(super) fn head(token: &str) -> Result<Head, TokenError> {
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Form);
    };
    if token.len() > MOST {
        return Err(TokenError::Form);
    }
    let said = URL_SAFE_NO_PAD.decode(first).map_err(|_| TokenError::Form)?;
    let said: Said = serde_json::from_slice(&said).map_err(|_| TokenError::Form)?;
    let algorithm = match said.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        "ES256" => Algorithm::ES256,
        other => return Err(TokenError::Algorithm(short(other))),
    };
    // It asks for what is not understood to be understood.
    if said.crit.is_some() {
        return Err(TokenError::Form);
    }
    Ok(Head { kid: said.kid, algorithm })
}

/// What a token says, where a key signed it and it is of now.
pub(super) fn verify(token: &str, head: &Head, keys: &[Key]) -> Result<Map<String, Json>, TokenError> {
    let mut fitting = keys.iter().filter(|key| key.fits(head.kid.as_deref(), head.algorithm));
    let key = fitting.next().ok_or(TokenError::Key)?;
    // A token that names no key is of the only one there is.
    if head.kid.is_none() && fitting.next().is_some() {
        return Err(TokenError::Key);
    }
    let mut times = Validation::new(head.algorithm);
    times.leeway = LEEWAY;
    times.validate_nbf = true;
    // The rest is checked below: this would take a list for an issuer.
    times.validate_aud = false;
    let read = jsonwebtoken::decode(token, &key.key, &times);
    read.map(|read| read.claims).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::Early,
        ErrorKind::MissingRequiredClaim(_) => TokenError::Claim("exp"),
        ErrorKind::InvalidClaimFormat(name) if name == "nbf" => TokenError::Claim("nbf"),
        ErrorKind::InvalidClaimFormat(_) => TokenError::Claim("exp"),
        ErrorKind::InvalidSignature => TokenError::Signature,
        _ => TokenError::Form,
    })
}

/// Whose a token must be, and for whom.
pub(super) struct Expected<'e> {
    pub issuer: &'e str,
    pub tenant: Option<&'e str>,
    pub audiences: &'e [String],
}

/// Whether claims that were signed are meant for this server.
pub(super) fn check(claims: &Map<String, Json>, expected: &Expected<'_>) -> Result<(), TokenError> {
    let issuer = text(claims, "iss").ok_or(TokenError::Claim("iss"))?;
    if issuer != expected.issuer {
        return Err(TokenError::Issuer { is: short(issuer), want: expected.issuer.to_owned() });
    }
    let audiences = audiences(claims).ok_or(TokenError::Claim("aud"))?;
    if !audiences.iter().any(|own| expected.audiences.iter().any(|want| want == own)) {
        return Err(TokenError::Audience {
            is: short(&audiences.join(", ")),
            want: expected.audiences.join("` or `"),
        });
    }
    match (expected.tenant, claims.get("tid")) {
        (Some(want), Some(is)) if !is.as_str().is_some_and(|is| is.eq_ignore_ascii_case(want)) => {
            Err(TokenError::Tenant)
        }
        _ => Ok(()),
    }
}

/// Whether a token was got for a sign-in of the page: this one, by this client.
pub(super) fn is_of_sign_in(
    claims: &Map<String, Json>,
    client_id: &str,
    nonce: &str,
) -> Result<(), TokenError> {
    if text(claims, "nonce") != Some(nonce) {
        return Err(TokenError::Claim("nonce"));
    }
    let is_for_others = audiences(claims).is_none_or(|all| all.len() > 1);
    match claims.get("azp") {
        None if is_for_others => Err(TokenError::Claim("azp")),
        Some(party) if party.as_str() != Some(client_id) => Err(TokenError::Claim("azp")),
        _ => Ok(()),
    }
}

/// A claim that is a text.
pub(super) fn text<'c>(claims: &'c Map<String, Json>, name: &str) -> Option<&'c str> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A claim that is a text or a list of texts.
pub(super) fn texts<'c>(claims: &'c Map<String, Json>, name: &str) -> Option<Vec<&'c str>> {
    match claims.get(name)? {
        Json::String(one) => Some(vec![one]),
        Json::Array(all) => all.iter().map(Json::as_str).collect(),
        _ => None,
    }
}

fn audiences(claims: &Map<String, Json>) -> Option<Vec<&str>> {
    texts(claims, "aud").filter(|all| !all.is_empty())
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(all: Json) -> Map<String, Json> {
        all.as_object().unwrap().clone()
    }

    #[test]
    fn heads_are_read_before_anything_is_believed() {
        let token = |head: &str| format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(head));
        let read = |head: &str| self::head(&token(head)).map(|head| (head.kid, head.algorithm));
        assert_eq!(read(r#"{"alg":"ES256","kid":"a"}"#), Ok((Some("a".to_owned()), Algorithm::ES256)));
        for alg in ["none", "None", "HS256", "HS512", "RS512", "EdDSA", ""] {
            let says = read(&format!(r#"{{"alg":"{alg}"}}"#));
            assert_eq!(says, Err(TokenError::Algorithm(alg.to_owned())), "{alg}");
        }
        for wrong in [
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"kid":"a"}"#,
            "[]",
            "",
        ] {
            assert_eq!(read(wrong), Err(TokenError::Form), "{wrong}");
        }
        let long = format!("{}{}", token(r#"{"alg":"RS256"}"#), "A".repeat(MOST));
        for wrong in ["", ".", "..", "a.b", "a.b.c.d", "!.!.!", long.as_str()] {
            assert!(matches!(self::head(wrong), Err(TokenError::Form)), "{:.20}", wrong);
        }
    }

    #[test]
    fn a_token_of_somebody_else_or_for_somebody_else_is_not_believed() {
        let audiences = ["client".to_owned(), "api://client".to_owned()];
        let expected = Expected { issuer: "https://a/t/v2.0", tenant: Some("t"), audiences: &audiences };
        let says = |all: Json| check(&claims(all), &expected);
        for aud in [json!("client"), json!("api://client"), json!(["other", "client"])] {
            assert_eq!(says(json!({ "iss": "https://a/t/v2.0", "aud": aud, "tid": "T" })), Ok(()));
        }
        for iss in [json!("https://a/t/v2.0/"), json!("https://a/T/v2.0"), json!("https://a/u/v2.0")] {
            let refused = says(json!({ "iss": iss, "aud": "client" }));
            assert!(matches!(refused, Err(TokenError::Issuer { .. })), "{iss}");
        }
        for iss in [json!(["https://a/t/v2.0"]), json!(null), json!(7), json!("")] {
            assert_eq!(says(json!({ "iss": iss, "aud": "client" })), Err(TokenError::Claim("iss")));
        }
        for aud in [json!("other"), json!(["other"]), json!("Client"), json!("client ")] {
            let refused = says(json!({ "iss": "https://a/t/v2.0", "aud": aud }));
            assert!(matches!(refused, Err(TokenError::Audience { .. })), "{aud}");
        }
        for aud in [json!([]), json!({ "client": 1 }), json!(["client", 7]), json!(null)] {
            let refused = says(json!({ "iss": "https://a/t/v2.0", "aud": aud }));
            assert_eq!(refused, Err(TokenError::Claim("aud")), "{aud}");
        }
        let other = json!({ "iss": "https://a/t/v2.0", "aud": "client", "tid": "u" });
        assert_eq!(says(other), Err(TokenError::Tenant));
    }

    #[test]
    fn a_sign_in_takes_the_token_that_was_got_for_it() {
        let says = |all: Json| is_of_sign_in(&claims(all), "client", "n1");
        assert_eq!(says(json!({ "nonce": "n1", "aud": "client" })), Ok(()));
        assert_eq!(says(json!({ "nonce": "n1", "aud": ["client"], "azp": "client" })), Ok(()));
        assert_eq!(says(json!({ "nonce": "n2", "aud": "client" })), Err(TokenError::Claim("nonce")));
        assert_eq!(says(json!({ "aud": "client" })), Err(TokenError::Claim("nonce")));
        for party in [json!({ "aud": ["client", "b"] }), json!({ "aud": "client", "azp": "b" })] {
            let mut all = claims(party);
            all.insert("nonce".to_owned(), "n1".into());
            assert_eq!(is_of_sign_in(&all, "client", "n1"), Err(TokenError::Claim("azp")));
        }
    }
}
