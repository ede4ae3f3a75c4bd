//! The begin of a connection: TLS where it must be, the sign-in, and what a client is told of the server.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use futures::{Sink, SinkExt as _};
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, METADATA_USER, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily, SecretKey};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::bearer;
use super::conversation::Conversation;
use super::handlers::Handlers;
use super::refused::fatal;
use super::variables::SERVER_VERSION;
use crate::serve::directory::{Dialogue, looks_issued};
use crate::serve::{Credential, Directory, Person};

const SCRAM: &str = "SCRAM-SHA-256";
/// A wrong password costs this, so that guessing over one connection after another is slow.
const AFTER_A_GUESS: Duration = Duration::from_millis(500);

/// A sign-in of which the client spoke first.
pub(super) enum SignIn {
    Scram(Dialogue),
    /// Why a token was not taken; the client is told once it has said that it understood so much.
    Refused(String),
}

/// What a name is offered, the first choice first: clients of PostgreSQL 18 take the first that they know.
/// The form of the name decides, for whether it is in the file is nobody's business.
fn offers(directory: &Directory, name: &str) -> Vec<String> {
    let mut offers = Vec::new();
    if directory.has_users() {
        offers.push(SCRAM.to_owned());
    }
    if directory.issuer().is_some() {
        let place = if looks_issued(name) { 0 } else { offers.len() };
        offers.insert(place, bearer::MECHANISM.to_owned());
    }
    offers
}

/// The mechanism and the first data of a sign-in. Read here, for the library takes lengths at their word.
fn initial(message: PasswordMessageFamily) -> Option<(String, Vec<u8>)> {
    let PasswordMessageFamily::Raw(body) = message else { return None };
    let end = body.iter().position(|byte| *byte == 0)?;
    let mechanism = std::str::from_utf8(&body[..end]).ok()?.to_owned();
    let (length, data) = body[end + 1..].split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 if data.is_empty() => Some((mechanism, Vec::new())),
        length if usize::try_from(length).is_ok_and(|length| length == data.len()) => {
            Some((mechanism, data.to_vec()))
        }
        _ => None,
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // Without randomness no sign-in is safe: an all-zero nonce is never taken.
        std::process::abort();
    }
    bytes
}

impl Handlers {
    /// Lets a person in.
    async fn enter<C>(&self, client: &mut C, person: Person) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let secret = SecretKey::I32(i32::from_be_bytes(random()));
        client.set_pid_and_secret_key(self.pid, secret.clone());
        self.connections.enter(self.pid, secret, self.running.clone());
        let address = client.socket_addr().to_string();
        let conversation = Conversation::new(self.gate.clone(), person, address, self.running.clone());
        conversation.begin(client.metadata().iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let _ = self.conversation.set(Arc::new(conversation));
        let mut told = DefaultServerParameterProvider::default();
        told.server_version = SERVER_VERSION.to_owned();
        told.is_superuser = false;
        told.default_transaction_read_only = true;
        told.time_zone = "UTC".to_owned();
        finish_authentication(client, &told).await
    }

    async fn first<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if self.is_full {
            return Err(fatal("53300", "failed to connect: too many connections are open; try again later"));
        }
        if self.tls_only && !client.is_secure() {
            return Err(fatal(
                "28000",
                "failed to connect: this server speaks TLS alone; set sslmode=require",
            ));
        }
        if self.gate.directory().is_open() {
            return self.enter(client, Person::local()).await;
        }
        client.set_state(PgWireConnectionState::AuthenticationInProgress);
        let name = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        let offer = Authentication::SASL(offers(self.gate.directory(), &name));
        client.send(PgWireBackendMessage::Authentication(offer)).await?;
        Ok(())
    }

    /// Takes the first message of a sign-in.
    async fn begin<C>(&self, client: &mut C, name: &str, message: PasswordMessageFamily) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let directory = self.gate.directory();
        let form = || fatal("08P01", "failed to understand the sign-in of the client");
        let (mechanism, data) = initial(message).ok_or_else(form)?;
        let offered = offers(directory, name);
        if !offered.contains(&mechanism) {
            let (mechanism, offered): (String, _) =
                (mechanism.chars().take(40).collect(), offered.join(" and "));
            let says = format!("failed to sign in by {mechanism}: {offered} is offered");
            return Err(fatal("28000", says));
        }
        let (sign_in, answer) = match (mechanism.as_str(), directory.issuer()) {
            (bearer::MECHANISM, Some(issuer)) => {
                let refused = match bearer::token(&data)
                    .map_err(|e| fatal("28000", format!("failed to {e}")))?
                {
                    None => format!("sign in: no token was sent; get one of {}", issuer.discovery()),
                    Some(token) => match directory.admit(Credential::TokenOf { name, token }).await {
                        Ok(person) => {
                            let (person_, from) = (person.key.as_str(), client.socket_addr());
                            tracing::info!(person = person_, %from, "signed in by a token");
                            return self.enter(client, person).await;
                        }
                        Err(refused) => {
                            tracing::warn!(name, %refused, from = %client.socket_addr(), "a token was refused");
                            tokio::time::sleep(AFTER_A_GUESS).await;
                            refused.to_string()
                        }
                    },
                };
                (SignIn::Refused(format!("failed to {refused}")), bearer::challenge(issuer))
            }
            _ => {
                let nonce = base64::engine::general_purpose::STANDARD.encode(random::<18>());
                let (dialogue, answer) = directory
                    .begin(name, &data, &nonce)
                    .map_err(|e| fatal("28000", format!("failed to {e}")))?;
                (SignIn::Scram(dialogue), answer)
            }
        };
        *self.sign_in.lock().await = Some(sign_in);
        let answer = Authentication::SASLContinue(answer.into());
        client.send(PgWireBackendMessage::Authentication(answer)).await?;
        Ok(())
    }
}

#[async_trait]
impl StartupHandler for Handlers {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let password = match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                return self.first(client).await;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => password,
            _ => return Ok(()),
        };
        let name = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        let begun = self.sign_in.lock().await.take();
        let dialogue = match begun {
            None => return self.begin(client, &name, password).await,
            Some(SignIn::Refused(says)) => return Err(fatal("28000", says)),
            Some(SignIn::Scram(dialogue)) => dialogue,
        };
        let last = password.into_sasl_response()?;
        let Ok((person, answer)) = self.gate.directory().end(&dialogue, &last.data) else {
            tracing::warn!(name, from = %client.socket_addr(), "a sign-in was refused");
            tokio::time::sleep(AFTER_A_GUESS).await;
            return Err(fatal("28P01", format!("failed to sign in as `{name}`: name or password is wrong")));
        };
        client.feed(PgWireBackendMessage::Authentication(Authentication::SASLFinal(answer.into()))).await?;
        self.enter(client, person).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_is_read_as_it_is_and_not_as_it_says() {
        let read = |body: &[u8]| initial(PasswordMessageFamily::Raw(body.into()));
        assert_eq!(read(b"X\0\0\0\0\x02ab"), Some(("X".to_owned(), b"ab".to_vec())));
        assert_eq!(read(b"X\0\xff\xff\xff\xff"), Some(("X".to_owned(), Vec::new())));
        for wrong in
            [&b""[..], b"X", b"X\0", b"X\0\0\0", b"X\0\0\0\0\x03ab", b"X\0\x80\0\0\0ab", b"\xff\0\0\0\0\0"]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
