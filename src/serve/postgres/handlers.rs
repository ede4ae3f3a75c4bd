//! The messages of one connection, each to what answers it.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use arrow_pg::datatypes::into_pg_type;
use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use futures::{Sink, SinkExt as _};
use pgwire::api::copy::{CopyHandler, send_copy_out_response};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_execution_response,
    send_partial_query_response,
};
use pgwire::api::results::{DescribePortalResponse, DescribeStatementResponse, FieldInfo, Response};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, ErrorHandler, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone};
use pgwire::messages::extendedquery::{Describe, Execute, TARGET_TYPE_BYTE_PORTAL};
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use tokio::sync::Mutex;

use super::cancel::{Connections, Running};
use super::conversation::Conversation;
use super::refused::error;
use super::startup::SignIn;
use super::statement::{Asked, lists_of_oids, parse, understand};
use super::values::values;
use crate::query::Place;
use crate::serve::Gate;

/// What answers one connection.
pub(super) struct Handlers {
    pub gate: Arc<Gate>,
    pub connections: Arc<Connections>,
    pub running: Arc<Running>,
    pub pid: i32,
    pub tls_only: bool,
    pub is_full: bool,
    pub sign_in: Mutex<Option<SignIn>>,
    pub conversation: OnceLock<Arc<Conversation>>,
}

impl Drop for Handlers {
    fn drop(&mut self) {
        self.connections.leave(self.pid);
    }
}

impl Handlers {
    fn conversation(&self) -> PgWireResult<&Arc<Conversation>> {
        self.conversation.get().ok_or_else(not_signed_in)
    }
}

fn not_signed_in() -> PgWireError {
    error("28000", "failed to answer: sign in first")
}

impl ErrorHandler for Handlers {}

#[async_trait]
impl CopyHandler for Handlers {
    async fn on_copy_data<C>(&self, _: &mut C, _: CopyData) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(error("25006", "failed to copy in: this server only reads"))
    }

    async fn on_copy_done<C>(&self, _: &mut C, _: CopyDone) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(error("25006", "failed to copy in: this server only reads"))
    }
}

#[async_trait]
impl SimpleQueryHandler for Handlers {
    async fn do_query<C>(&self, _: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let conversation = self.conversation()?;
        let mut responses = Vec::new();
        for statement in parse(query)? {
            let answer = conversation.answer(understand(statement)?, Vec::new(), &Format::UnifiedText).await;
            match answer {
                Ok(response) => responses.push(response),
                // What was answered before it is sent all the same.
                Err(error) if !responses.is_empty() => {
                    responses.push(Response::Error(Box::new(error.into())));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if responses.is_empty() {
            responses.push(Response::EmptyQuery);
        }
        Ok(responses)
    }
}

/// A statement that was parsed, with the types of its parameters.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    asked: Asked,
    parameters: Vec<Option<DataType>>,
    /// Those that are lists of numbers of types or tables, by place: drivers have a type of its own for them.
    oids: Vec<usize>,
}

/// Plans statements, so that a client is told what their parameters are.
pub(super) struct Parser(Option<Arc<Conversation>>);

#[async_trait]
impl QueryParser for Parser {
    type Statement = Stored;

    async fn parse_sql<C>(&self, _: &C, sql: &str, said: &[Option<Type>]) -> PgWireResult<Option<Stored>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = parse(sql)?;
        if statements.len() > 1 {
            return Err(error("42601", "failed to prepare: it is more than one statement"));
        }
        let Some(statement) = statements.pop() else { return Ok(None) };
        if said.iter().flatten().any(|said| *said == Type::NUMERIC_ARRAY) {
            let says = "failed to take a list of numeric: bind it as float8[] or bigint[]";
            return Err(error("0A000", says));
        }
        let oids = lists_of_oids(&statement);
        let asked = understand(statement)?;
        let mut parameters = Vec::new();
        if let Asked::Rows(statement) | Asked::Copy(statement, _) = &asked {
            let conversation = self.0.as_ref().ok_or_else(not_signed_in)?;
            let prepared = conversation.prepare(statement).await?;
            let places = prepared.places(usize::from(u16::MAX)).map_err(super::refused::query)?;
            // What neither the client nor the statement tells is a text, as PostgreSQL has it.
            let kind = |(n, place): (usize, Place)| match said.get(n).and_then(Option::as_ref) {
                // As the type that it is compared with it would be cut off.
                Some(&Type::NUMERIC) => None,
                Some(_) => place.kind,
                None => Some(place.as_told()),
            };
            parameters = places.into_iter().enumerate().map(kind).collect();
        }
        Ok(Some(Stored { asked, parameters, oids }))
    }

    fn get_parameter_types(&self, stored: &Stored) -> PgWireResult<Vec<Type>> {
        let kind = |(n, kind): (usize, &Option<DataType>)| match kind {
            _ if stored.oids.contains(&(n + 1)) => Ok(Type::OID_ARRAY),
            Some(kind) => into_pg_type(kind),
            None => Ok(Type::TEXT),
        };
        stored.parameters.iter().enumerate().map(kind).collect()
    }

    fn get_result_schema(&self, _: &Stored, _: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        // Described by `do_describe_*`, which may wait.
        Ok(Vec::new())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handlers {
    type Statement = Stored;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser(self.conversation.get().cloned()))
    }

    async fn do_query<C>(&self, _: &mut C, portal: &Portal<Stored>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let stored = &portal.statement.statement;
        let values = values(portal, &stored.parameters)?;
        let conversation = self.conversation()?;
        conversation.answer(stored.asked.clone(), values, &portal.result_column_format).await
    }

    /// As the protocol's own, but that rows are sent as they come: it would gather all of them first.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let most = usize::try_from(message.max_rows).unwrap_or(0);
        client.set_state(PgWireConnectionState::QueryInProgress);
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            *state = PortalExecutionState::Finished;
            match ExtendedQueryHandler::do_query(self, client, &portal, most).await? {
                Response::Query(rows) => *state = PortalExecutionState::Suspended(rows),
                Response::Execution(tag) => send_execution_response(client, tag).await?,
                Response::TransactionStart(tag) => {
                    send_execution_response(client, tag).await?;
                    client.set_transaction_status(TransactionStatus::Transaction);
                }
                Response::TransactionEnd(tag) => {
                    send_execution_response(client, tag).await?;
                    client.set_transaction_status(TransactionStatus::Idle);
                }
                Response::CopyOut(copy) => send_copy_out_response(client, copy).await?,
                _ => client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?,
            }
        }
        if let PortalExecutionState::Suspended(rows) = &mut *state
            && !send_partial_query_response(client, rows, most).await?
        {
            *state = PortalExecutionState::Finished;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    /// A cursor is described as a portal of its name.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_PORTAL && client.portal_store().get_portal(name).is_none()
        {
            let asked = Asked::Fetch(name.to_owned(), None);
            let columns = self.conversation()?.columns(&asked, &Format::UnifiedText).await?;
            return send_describe_response(client, &DescribePortalResponse::new(columns)).await;
        }
        self._on_describe(client, message).await
    }

    async fn do_describe_statement<C>(
        &self,
        _: &mut C,
        target: &StoredStatement<Stored>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let own = self.query_parser().get_parameter_types(&target.statement)?;
        let said = |n: usize| target.parameter_types.get(n).cloned().flatten();
        let parameters = own.into_iter().enumerate().map(|(n, own)| said(n).unwrap_or(own)).collect();
        let columns = self.conversation()?.columns(&target.statement.asked, &Format::UnifiedText).await?;
        Ok(DescribeStatementResponse::new(parameters, columns))
    }

    async fn do_describe_portal<C>(
        &self,
        _: &mut C,
        target: &Portal<Stored>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Stored>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let asked = &target.statement.statement.asked;
        let columns = self.conversation()?.columns(asked, &target.result_column_format).await?;
        Ok(DescribePortalResponse::new(columns))
    }
}
