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
use pgwire::messages::startup::{Authentication, SecretKey};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::conversation::Conversation;
use super::handlers::Handlers;
use super::refused::fatal;
use super::variables::SERVER_VERSION;
use crate::serve::Person;
use crate::serve::scram::Exchange;

const MECHANISM: &str = "SCRAM-SHA-256";
/// A wrong password costs this, so that guessing over one connection after another is slow.
const AFTER_A_GUESS: Duration = Duration::from_millis(500);

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
        let offer = Authentication::SASL(vec![MECHANISM.to_owned()]);
        client.send(PgWireBackendMessage::Authentication(offer)).await?;
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
        let wrong = || fatal("28P01", format!("failed to sign in as `{name}`: name or password is wrong"));
        let mut exchange = self.exchange.lock().await;
        let Some(begun) = exchange.take() else {
            let first = password.into_sasl_initial_response()?;
            if first.auth_method != MECHANISM {
                return Err(fatal(
                    "28000",
                    format!("failed to sign in by {}: only {MECHANISM} is offered", first.auth_method),
                ));
            }
            let nonce = base64::engine::general_purpose::STANDARD.encode(random::<18>());
            let verifier = self.gate.directory().verifier(&name);
            let (begun, answer) =
                Exchange::begin(verifier, first.data.as_deref().unwrap_or_default(), &nonce)
                    .map_err(|e| fatal("28000", format!("failed to {e}")))?;
            *exchange = Some(begun);
            let answer = Authentication::SASLContinue(answer.into());
            client.send(PgWireBackendMessage::Authentication(answer)).await?;
            return Ok(());
        };
        drop(exchange);
        let last = password.into_sasl_response()?;
        let proved = begun.end(&last.data);
        let person = self.gate.directory().person(&name);
        let (Ok(answer), Some(person)) = (proved, person) else {
            tracing::warn!(name, from = %client.socket_addr(), "a sign-in was refused");
            tokio::time::sleep(AFTER_A_GUESS).await;
            return Err(wrong());
        };
        client.feed(PgWireBackendMessage::Authentication(Authentication::SASLFinal(answer.into()))).await?;
        self.enter(client, person).await
    }
}
