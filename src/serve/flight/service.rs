//! The calls of Flight, each to what answers it.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::GetTablesBuilder;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Command,
    CommandPreparedStatementQuery, DoPutPreparedStatementResult, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelStatus, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint,
    FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, PollInfo, PutResult, Result as Answered,
    SchemaAsIpc, SchemaResult, Ticket,
};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::ipc::root_as_message;
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use tonic::{Code, Request, Response, Status, Streaming};

use super::held::{Full, Holder};
use super::refused::{flight, only_reads, refused, unwritten, wrong};
use super::sign_in::Signed;
use super::statement::{Statement, bound, sent};
use super::{about, catalogue, session, wire};
use crate::serve::Gate;
use crate::serve::sessions::{Guesses, Sessions};

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Rows on their way to a client.
pub(super) type Data = Parts<FlightData>;

/// How long a client may take to send the values of a statement.
const BIND_TIME: Duration = Duration::from_secs(30);
/// Messages in which it sends them: a schema, dictionaries, a row.
const MOST_BINDS: usize = 100;

/// What can be done, besides asking.
const ACTIONS: [(&str, &str); 7] = [
    (PREPARE, "Prepares a statement."),
    (CLOSE, "Lets go of a statement that was prepared."),
    (CANCEL_QUERY, "Stops a query."),
    (CANCEL_INFO, "Stops a query."),
    (GET_OPTIONS, "Tells the catalogue and the schema of the session."),
    (SET_OPTIONS, "Takes the catalogue and the schema that there are."),
    (CLOSE_SESSION, "Ends the token of a handshake."),
];
const PREPARE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";
const CANCEL_QUERY: &str = "CancelQuery";
const CANCEL_INFO: &str = "CancelFlightInfo";
const GET_OPTIONS: &str = "GetSessionOptions";
const SET_OPTIONS: &str = "SetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";
/// What other servers do, and this one does not: it writes, or could not.
const WRITES: [&str; 5] =
    ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint", "CreatePreparedSubstraitPlan"];

/// What answers the calls of all connections.
pub(super) struct Door {
    pub gate: Arc<Gate>,
    pub sessions: Sessions,
    pub guesses: Guesses,
    held: Holder,
}

fn gone() -> Status {
    refused(Code::NotFound, "find the statement: it was fetched, closed or too long ago; ask again")
}

fn full(full: Full) -> Status {
    refused(Code::ResourceExhausted, full)
}

/// A message that says what is asked, by its type.
fn command(bytes: &[u8]) -> Result<Command, Status> {
    let named = wire::named(bytes);
    Command::try_from(named).map_err(|e| wrong(format!("understand the request: {e}")))
}

fn unpacked<M: arrow_flight::sql::ProstMessageExt>(bytes: &[u8]) -> Result<M, Status> {
    let message = wire::named(bytes).unpack::<M>();
    let message = message.map_err(|e| wrong(format!("understand the request: {e}")))?;
    message.ok_or_else(|| wrong(format!("understand the request: it is no {}", M::type_url())))
}

fn unknown(command: &Command) -> Status {
    let name: String = command.type_url().chars().take(200).collect();
    match command {
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) => {
            only_reads("an update")
        }
        Command::CommandStatementIngest(_) => only_reads("a bulk ingestion"),
        Command::CommandStatementSubstraitPlan(_) => only_reads("a Substrait plan; send SQL"),
        _ => refused(Code::Unimplemented, format!("answer `{name}`: this server speaks Flight SQL alone")),
    }
}

/// What is compressed says itself how large it is, and memory is taken for that: a few bytes can ask for all.
fn is_compressed(data: &FlightData) -> bool {
    let Ok(message) = root_as_message(&data.data_header) else { return false };
    let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    message.header_as_record_batch().or(dictionary).is_some_and(|rows| rows.compression().is_some())
}

/// A schema in the form in which messages carry it.
fn encoded(schema: &Schema) -> Result<Bytes, Status> {
    let IpcMessage(bytes) =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(unwritten)?;
    Ok(bytes)
}

fn one<T: Send + 'static>(value: T) -> Response<Parts<T>> {
    Response::new(Box::pin(stream::iter([Ok(value)])))
}

impl Door {
    pub fn new(gate: Arc<Gate>) -> Door {
        let (sessions, guesses) = (Sessions::default(), Guesses::default());
        Door { gate, sessions, guesses, held: Holder::default() }
    }

    fn prepared(&self, handle: &Bytes, signed: &Signed) -> Result<Statement, Status> {
        self.held.recall(handle, &signed.person, Instant::now()).ok_or_else(gone)
    }

    /// The statement of a command that asks one, if it does.
    fn statement(&self, command: &Command, signed: &Signed) -> Result<Option<Statement>, Status> {
        Ok(match command {
            Command::CommandStatementQuery(asked) => Some(Statement::of(&asked.query)),
            Command::CommandPreparedStatementQuery(CommandPreparedStatementQuery {
                prepared_statement_handle: handle,
            }) => Some(self.prepared(handle, signed)?),
            _ => None,
        })
    }

    /// The columns of the answer of a statement.
    async fn answers(&self, signed: &Signed, statement: &Statement) -> Result<SchemaRef, Status> {
        match &statement.columns {
            Some(columns) => Ok(columns.clone()),
            None => Ok(self.plan(signed, statement).await?.columns),
        }
    }

    /// The columns of what is looked up.
    fn columns(&self, command: &Command) -> Result<SchemaRef, Status> {
        Ok(match command {
            Command::CommandGetCatalogs(_) => catalogue::catalogs().map_err(flight)?.schema(),
            Command::CommandGetDbSchemas(asked) => asked.clone().into_builder().schema(),
            Command::CommandGetTables(asked) => GetTablesBuilder::from(asked.clone()).schema(),
            Command::CommandGetTableTypes(_) => catalogue::table_types().map_err(flight)?.schema(),
            Command::CommandGetPrimaryKeys(_) => catalogue::PRIMARY_KEYS.clone(),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => catalogue::FOREIGN_KEYS.clone(),
            Command::CommandGetSqlInfo(_) => about::server().map_err(flight)?.schema(),
            Command::CommandGetXdbcTypeInfo(_) => about::types().map_err(flight)?.schema(),
            other => return Err(unknown(other)),
        })
    }

    /// The rows of what is looked up.
    async fn looked_up(&self, command: Command, signed: &Signed) -> Result<RecordBatch, Status> {
        match command {
            Command::CommandGetCatalogs(_) => catalogue::catalogs().map_err(flight),
            Command::CommandGetDbSchemas(asked) => self.schemas(signed, asked).await,
            Command::CommandGetTables(asked) => self.tables(signed, asked).await,
            Command::CommandGetTableTypes(_) => catalogue::table_types().map_err(flight),
            Command::CommandGetSqlInfo(asked) => {
                about::server().and_then(|server| asked.into_builder(server).build()).map_err(flight)
            }
            Command::CommandGetXdbcTypeInfo(asked) => {
                about::types().and_then(|types| asked.into_builder(types).build()).map_err(flight)
            }
            other => self.columns(&other).map(RecordBatch::new_empty),
        }
    }

    /// Binds the values that follow the first message to a statement that was prepared.
    async fn bind(
        &self,
        handle: &Bytes,
        signed: &Signed,
        first: FlightData,
        rest: Streaming<FlightData>,
    ) -> Result<(), Status> {
        self.prepared(handle, signed)?;
        let messages = stream::iter([Ok(first)]).chain(rest).take(MOST_BINDS).map(|one| match one {
            Ok(data) if is_compressed(&data) => {
                Err(FlightError::from(wrong("understand the values: send them without compression")))
            }
            one => one.map_err(FlightError::from),
        });
        let mut rows = FlightRecordBatchStream::new_from_flight_data(messages);
        let mut values = Vec::new();
        loop {
            // What points outside of a message is a panic of the library.
            let next = AssertUnwindSafe(rows.next()).catch_unwind().await;
            let Some(batch) = next.map_err(|_| wrong("understand the values: a message is torn"))? else {
                break;
            };
            let batch = batch.map_err(|error| match error {
                FlightError::Tonic(status) => *status,
                error => wrong(format!("understand the values: {error}")),
            })?;
            if batch.num_rows() == 0 {
                continue;
            }
            if !values.is_empty() {
                return Err(wrong("bind several rows of values: bind one row for one question"));
            }
            values = bound(&batch)?;
        }
        self.held.bind(handle, &signed.person, values, Instant::now()).map_err(full)?.ok_or_else(gone)
    }

    async fn prepare(&self, body: &[u8], signed: &Signed) -> Result<Bytes, Status> {
        let asked: ActionCreatePreparedStatementRequest = unpacked(body)?;
        let mut statement = Statement::of(&asked.query);
        let planned = self.plan(signed, &statement).await?;
        statement.columns = planned.parameters.fields().is_empty().then(|| planned.columns.clone());
        let handle = self.held.prepare(&signed.person, statement, Instant::now()).map_err(full)?;
        Ok(wire::with_name(&ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle,
            dataset_schema: encoded(&planned.columns)?,
            parameter_schema: encoded(&planned.parameters)?,
        }))
    }

    /// Stops the query of a `FlightInfo`.
    fn stop(&self, info: &[u8], signed: &Signed) -> CancelStatus {
        let ticket = wire::named(wire::ticket_of_info(info)).unpack::<TicketStatementQuery>();
        let is_stopped =
            matches!(ticket, Ok(Some(ticket)) if self.held.cancel(&ticket.statement_handle, &signed.person));
        if is_stopped { CancelStatus::Cancelled } else { CancelStatus::NotCancellable }
    }
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = Parts<HandshakeResponse>;
    type ListFlightsStream = Parts<FlightInfo>;
    type DoGetStream = Data;
    type DoPutStream = Parts<PutResult>;
    type DoExchangeStream = Data;
    type DoActionStream = Parts<Answered>;
    type ListActionsStream = Parts<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let signed = self.who(&request).await?;
        let token = self.token(&request, &signed)?;
        let payload = Bytes::from(token.clone());
        let mut response = one(HandshakeResponse { protocol_version: 0, payload });
        let header = format!("Bearer {token}").parse();
        let header = header.map_err(|_| refused(Code::Unauthenticated, "sign in: the token is no text"))?;
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let signed = self.who(&request).await?;
        let descriptor = request.into_inner();
        let command = command(&descriptor.cmd)?;
        let (columns, ticket) = match self.statement(&command, &signed)? {
            Some(statement) => {
                let columns = self.answers(&signed, &statement).await?;
                let held = self.held.ask(&signed.person, statement, Instant::now());
                let ticket = TicketStatementQuery { statement_handle: held.map_err(full)? };
                (columns, wire::with_name(&ticket))
            }
            None => (self.columns(&command)?, descriptor.cmd.clone()),
        };
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        let info = FlightInfo::new().try_with_schema(&columns).map_err(unwritten)?;
        // How many rows and bytes there will be, nobody knows.
        let info = info.with_endpoint(endpoint).with_descriptor(descriptor).with_total_records(-1);
        Ok(Response::new(info.with_total_bytes(-1).with_ordered(true)))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let signed = self.who(&request).await?;
        let command = command(&request.get_ref().cmd)?;
        let columns = match self.statement(&command, &signed)? {
            Some(statement) => self.answers(&signed, &statement).await?,
            None => self.columns(&command)?,
        };
        Ok(Response::new(SchemaResult { schema: encoded(&columns)? }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Data>, Status> {
        let signed = self.who(&request).await?;
        let command = command(&request.get_ref().ticket)?;
        if let Command::TicketStatementQuery(ticket) = command {
            let fetched = self.held.fetch(&ticket.statement_handle, &signed.person, Instant::now());
            let (statement, running) = fetched.ok_or_else(gone)?;
            return Ok(Response::new(self.answer(&signed, statement, running).await?));
        }
        let rows = self.looked_up(command, &signed).await?;
        Ok(Response::new(sent(rows.schema(), stream::iter([Ok(rows)]))))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let signed = self.who(&request).await?;
        let mut messages = request.into_inner();
        let bind = async {
            let first = messages.message().await?;
            let first = first.ok_or_else(|| wrong("understand the request: nothing was put"))?;
            let asked =
                first.flight_descriptor.as_ref().map(|descriptor| command(&descriptor.cmd)).transpose()?;
            match asked {
                Some(Command::CommandPreparedStatementQuery(asked)) => {
                    let handle = asked.prepared_statement_handle;
                    self.bind(&handle, &signed, first, messages).await?;
                    Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
                }
                Some(other) => Err(unknown(&other)),
                None => Err(wrong("understand the request: it has no descriptor")),
            }
        };
        let bound = tokio::time::timeout(BIND_TIME, bind).await;
        let bound =
            bound.map_err(|_| refused(Code::DeadlineExceeded, format!("bind within {BIND_TIME:?}")))??;
        Ok(one(PutResult { app_metadata: wire::alone(&bound) }))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let signed = self.who(&request).await?;
        let Action { r#type: name, body } = request.get_ref();
        let body = match name.as_str() {
            PREPARE => self.prepare(body, &signed).await?,
            CLOSE => {
                let asked: ActionClosePreparedStatementRequest = unpacked(body)?;
                self.held.close(&asked.prepared_statement_handle, &signed.person);
                return Ok(Response::new(Box::pin(stream::empty())));
            }
            CANCEL_QUERY => {
                let asked: ActionCancelQueryRequest = unpacked(body)?;
                let result = self.stop(&asked.info, &signed) as i32;
                wire::with_name(&ActionCancelQueryResult { result })
            }
            // An enumeration as the first field.
            CANCEL_INFO => Bytes::from(vec![1 << 3, self.stop(wire::field(body, 1), &signed) as u8]),
            GET_OPTIONS => session::options().into(),
            SET_OPTIONS => session::set(body).into(),
            CLOSE_SESSION => {
                self.sign_out(&request);
                Bytes::from_static(&[1 << 3, 1])
            }
            name if WRITES.contains(&name) => return Err(only_reads(name)),
            name => {
                let name: String = name.chars().take(200).collect();
                return Err(refused(Code::Unimplemented, format!("do `{name}`: there is no such action")));
            }
        };
        Ok(one(Answered { body }))
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.who(&request).await?;
        let all = ACTIONS
            .map(|(name, says)| Ok(ActionType { r#type: name.to_owned(), description: says.to_owned() }));
        Ok(Response::new(Box::pin(stream::iter(all))))
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.who(&request).await?;
        Ok(Response::new(Box::pin(stream::empty())))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.who(&request).await?;
        Err(refused(Code::Unimplemented, "poll for a query: ask with GetFlightInfo, which answers at once"))
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Data>, Status> {
        self.who(&request).await?;
        Err(refused(Code::Unimplemented, "exchange data: this server only reads; ask with GetFlightInfo"))
    }
}
