//! Who calls: a bearer token, one that a handshake gave, or a name and a password.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::refused::refused;
use super::service::Door;
use crate::serve::converse::{Known, Peer};
use crate::serve::oidc::TokenError;
use crate::serve::proof;
use crate::serve::{Asker, Credential, Person, Refused};

/// Some drivers leave the padding out.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What a handshake gives where nobody has to sign in.
const NOBODYS: &str = "nobody-signs-in-here";

/// Somebody who has signed in, and where from.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub person: Arc<Person>,
    client: String,
    /// How long the client waits for an answer.
    timeout: Option<Duration>,
}

impl Signed {
    pub fn asker(&self) -> Asker {
        let mut asker = Asker::new(self.person.clone(), "flight", Some(self.client.clone()));
        asker.timeout = self.timeout;
        asker
    }
}

fn nobody() -> Status {
    let says = "sign in: send a name and password of `agentrail user add`, or `authorization: Bearer TOKEN`";
    refused(Code::Unauthenticated, says)
}

fn turned_away(why: Refused) -> Status {
    let code = match &why {
        Refused::Issuer(TokenError::NoRole { .. }) => Code::PermissionDenied,
        Refused::Issuer(TokenError::Unreachable(_)) => Code::Unavailable,
        _ => Code::Unauthenticated,
    };
    refused(code, why)
}

/// The scheme and the rest of what a client sends as its authorization.
fn said(metadata: &MetadataMap) -> Result<(String, &str), Status> {
    let said = metadata.get("authorization").ok_or_else(nobody)?;
    let said = said.to_str().map_err(|_| nobody())?;
    let (scheme, rest) = said.split_once(' ').ok_or_else(nobody)?;
    Ok((scheme.to_ascii_lowercase(), rest.trim()))
}

impl Door {
    /// Looked up anew for each call, so that whoever is taken out of the file is out.
    pub async fn who<T>(&self, request: &Request<T>) -> Result<Signed, Status> {
        let peer = request.extensions().get::<Peer>();
        let client = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string());
        let person = self.person(request.metadata(), &client).await?;
        if let Some(known) = request.extensions().get::<Known>() {
            known.signed_in();
        }
        Ok(Signed { person: Arc::new(person), client, timeout: timeout(request.metadata()) })
    }

    async fn person(&self, metadata: &MetadataMap, client: &str) -> Result<Person, Status> {
        let directory = self.gate.directory();
        if directory.is_open() {
            return Ok(Person::local());
        }
        let (scheme, rest) = said(metadata)?;
        match scheme.as_str() {
            "bearer" => match self.sessions.of(rest, Instant::now()) {
                Some(standing) => directory.again(&standing).ok_or_else(nobody),
                None => directory.admit(Credential::Token(rest)).await.map_err(turned_away),
            },
            "basic" => {
                let pair = PADDED_OR_NOT.decode(rest).ok().and_then(|pair| String::from_utf8(pair).ok());
                let pair = pair.ok_or_else(nobody)?;
                let (name, password) = pair.split_once(':').ok_or_else(nobody)?;
                let proved = proof::prove(directory, &self.guesses, name, password, client).await;
                let proved =
                    proved.map_err(|seconds| refused(Code::ResourceExhausted, proof::too_many(seconds)))?;
                proved.ok_or_else(|| {
                    refused(Code::Unauthenticated, format!("sign in as `{name}`: name or password is wrong"))
                })
            }
            _ => Err(nobody()),
        }
    }

    /// The bearer token of a handshake. It ends after a working day, with another password of its person,
    /// or when its session is closed.
    pub fn token<T>(&self, request: &Request<T>, signed: &Signed) -> Result<String, Status> {
        let directory = self.gate.directory();
        if directory.is_open() {
            return Ok(NOBODYS.to_owned());
        }
        let (scheme, rest) = said(request.metadata())?;
        if scheme == "bearer" {
            return Ok(rest.to_owned());
        }
        let open = self.sessions.open(directory.standing(&signed.person), Instant::now());
        open.ok_or_else(|| {
            refused(
                Code::ResourceExhausted,
                "sign in: too many are signed in; use a token instead of a password",
            )
        })
    }

    /// Ends the token that a handshake gave; one of the file or of an issuer stays.
    pub fn sign_out<T>(&self, request: &Request<T>) {
        if let Ok(("bearer", token)) =
            said(request.metadata()).as_ref().map(|(scheme, rest)| (scheme.as_str(), *rest))
        {
            self.sessions.close(token);
        }
    }
}

/// What `grpc-timeout` says, such as `10S`.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let said = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = said.split_at_checked(said.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3600).checked_mul(number)?,
        "M" => Duration::from_secs(60).checked_mul(number)?,
        "S" => Duration::from_secs(number.into()),
        "m" => Duration::from_millis(number.into()),
        "u" => Duration::from_micros(number.into()),
        "n" => Duration::from_nanos(number.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_client_waits_is_understood() {
        let of = |said: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", said.parse().unwrap());
            timeout(&metadata)
        };
        assert_eq!(of("10S"), Some(Duration::from_secs(10)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for none in ["", "S", "10", "-1S", "10X", "99999999999S"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
