//! One connection: who it is, what it has set, its cursors, and how its statements are answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{DataType, Statement};
use futures::{StreamExt as _, stream};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::error::PgWireResult;
use tokio::sync::OnceCell;

use super::cancel::Running;
use super::refused::{self, error};
use super::statement::{Asked, filled};
use super::variables::Variables;
use super::{catalogue, rows};
use crate::query::{Answer, Prepared, QueryError, Session, check_parsed};
use crate::serve::{Asker, Gate, Person, Reply};
use datafusion::scalar::ScalarValue;

/// So many cursors of one connection are open at once: each holds a query of its person.
const MOST_CURSORS: usize = 16;
/// So many statements are prepared by name: each may be as large as a statement can be.
const MOST_PREPARED: usize = 20;

/// A connection that has signed in.
pub(super) struct Conversation {
    pub gate: Arc<Gate>,
    person: Arc<Person>,
    client: String,
    pub running: Arc<Running>,
    variables: Arc<Mutex<Variables>>,
    cursors: tokio::sync::Mutex<HashMap<String, Cursor>>,
    /// What `PREPARE` named.
    prepared: Mutex<HashMap<String, (Statement, Vec<DataType>)>>,
    /// The session in which pg_catalog is read.
    catalogue: OnceCell<Arc<Session>>,
}

/// A query that is read piece by piece.
struct Cursor {
    response: QueryResponse,
    /// Whether it outlives the transaction.
    hold: bool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Conversation {
    pub fn new(gate: Arc<Gate>, person: Person, client: String, running: Arc<Running>) -> Conversation {
        Conversation {
            gate,
            person: Arc::new(person),
            client,
            running,
            variables: Arc::default(),
            cursors: tokio::sync::Mutex::default(),
            prepared: Mutex::default(),
            catalogue: OnceCell::new(),
        }
    }

    /// Takes the settings that a client sends as it connects.
    pub fn begin<'a>(&self, said: impl Iterator<Item = (&'a str, &'a str)>) {
        locked(&self.variables).begin(said);
    }

    fn asker(&self) -> Asker {
        let mut asker = Asker::new(self.person.clone(), "postgres", Some(self.client.clone()));
        asker.timeout = locked(&self.variables).timeout();
        asker.cancel = self.running.begin();
        asker
    }

    /// The session for a statement: a fresh one with the newest of all tables; for pg_catalog the one that
    /// gave tables their numbers.
    async fn equipped(&self, text: &str, fresh: Session) -> Result<Arc<Session>, QueryError> {
        if !catalogue::is_needed(text) {
            return Ok(Arc::new(fresh));
        }
        if !catalogue::is_read(text) {
            catalogue::add(&fresh, &self.person, &self.variables, false).await?;
            return Ok(Arc::new(fresh));
        }
        let make = async {
            catalogue::add(&fresh, &self.person, &self.variables, true).await?;
            Ok(Arc::new(fresh))
        };
        self.catalogue.get_or_try_init(|| make).await.cloned()
    }

    /// Plans a statement, to tell its parameters and columns.
    pub async fn prepare(self: &Arc<Conversation>, statement: &Statement) -> PgWireResult<Prepared> {
        let text = statement.to_string();
        let parsed = Parsed::Statement(Box::new(statement.clone()));
        let (own, asked) = (self.clone(), text.clone());
        let plan = async move |fresh: Session| {
            let session = own.equipped(&asked, fresh).await?;
            session.prepare_parsed(parsed).await
        };
        self.gate.plan(&self.asker(), &text, plan).await.map_err(refused::refusal)
    }

    /// Rows of a statement with values for its parameters.
    async fn ask(
        self: &Arc<Conversation>,
        statement: Statement,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<Reply> {
        let text = statement.to_string();
        let (own, asked) = (self.clone(), text.clone());
        let answer = move |fresh: Session| async move {
            let session = own.equipped(&asked, fresh).await?;
            let prepared = session.prepare_parsed(Parsed::Statement(Box::new(statement))).await?;
            let Answer { schema, stream } = session.execute(prepared.with(values)?).await?;
            // The session lives as long as its rows are read.
            let stream = datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(
                schema.clone(),
                stream.inspect(move |_| _ = &session),
            );
            Ok(Answer { schema, stream: Box::pin(stream) })
        };
        self.gate.ask(&self.asker(), &text, answer).await.map_err(refused::refusal)
    }

    /// What was asked, with the query of what is executed in its place.
    fn resolved(&self, asked: Asked) -> PgWireResult<Asked> {
        let Asked::Execute(name, values) = asked else { return Ok(asked) };
        let prepared = locked(&self.prepared).get(&name).cloned();
        let (query, types) = prepared.ok_or_else(|| no_statement(&name))?;
        let query = filled(query, &types, &values)?;
        check_parsed(&query).map_err(refused::query)?;
        Ok(Asked::Rows(Box::new(query)))
    }

    /// Keeps a query under a name, if it can be planned.
    async fn keep(
        self: &Arc<Conversation>,
        name: String,
        query: Statement,
        types: Vec<DataType>,
    ) -> PgWireResult<()> {
        self.prepare(&query).await?;
        let mut prepared = locked(&self.prepared);
        if prepared.contains_key(&name) {
            return Err(error(
                "42P05",
                format!("failed to prepare `{name}`: there is one; deallocate it first"),
            ));
        }
        if prepared.len() >= MOST_PREPARED {
            return Err(error("53400", "failed to prepare another statement: deallocate one first"));
        }
        prepared.insert(name, (query, types));
        Ok(())
    }

    /// Answers what was asked, in these formats.
    pub async fn answer(
        self: &Arc<Conversation>,
        asked: Asked,
        values: Vec<ScalarValue>,
        format: &Format,
    ) -> PgWireResult<Response> {
        let done = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
        match self.resolved(asked)? {
            Asked::Rows(statement) => {
                let reply = self.ask(*statement, values).await?;
                Ok(Response::Query(rows::response(reply, format)?))
            }
            Asked::Copy(statement, copy) => {
                let reply = self.ask(*statement, values).await?;
                Ok(Response::CopyOut(rows::copy(reply, copy)?))
            }
            Asked::Set(name, value) => {
                locked(&self.variables).set(&name, &value)?;
                done("SET")
            }
            Asked::Reset(name) => {
                locked(&self.variables).reset(name.as_deref());
                done("RESET")
            }
            Asked::Discard => {
                locked(&self.variables).reset(None);
                locked(&self.prepared).clear();
                self.cursors.lock().await.clear();
                done("DISCARD ALL")
            }
            Asked::Show(name) if name == "all" => {
                Err(error("0A000", "failed to show all settings: ask for one by its name"))
            }
            Asked::Show(name) => {
                let value = locked(&self.variables).show(&name)?;
                one_text(&name, &value, format)
            }
            Asked::Begin => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
            Asked::End(tag) => {
                self.cursors.lock().await.retain(|_, cursor| cursor.hold);
                Ok(Response::TransactionEnd(Tag::new(tag)))
            }
            Asked::Declare(name, hold, query) => {
                if self.cursors.lock().await.contains_key(&name) {
                    let says = format!("failed to declare the cursor `{name}`: there is one; close it first");
                    return Err(error("42P03", says));
                }
                if self.cursors.lock().await.len() >= MOST_CURSORS {
                    return Err(error("53400", "failed to declare another cursor: close one first"));
                }
                let reply = self.ask(Statement::Query(query), values).await?;
                let response = rows::response(reply, &Format::UnifiedText)?;
                self.cursors.lock().await.insert(name, Cursor { response, hold });
                done("DECLARE CURSOR")
            }
            Asked::Fetch(name, count) => self.fetch(&name, count).await,
            Asked::Close(name) => {
                let mut cursors = self.cursors.lock().await;
                match name {
                    Some(name) if cursors.remove(&name).is_none() => return Err(no_cursor(&name)),
                    Some(_) => {}
                    None => cursors.clear(),
                }
                done("CLOSE CURSOR")
            }
            Asked::Prepare(name, query, types) => {
                self.keep(name, *query, types).await?;
                done("PREPARE")
            }
            Asked::Execute(name, _) => Err(no_statement(&name)),
            Asked::Deallocate(Some(name)) => {
                // Drivers deallocate what they prepared by the protocol, which is let go of with its portal.
                locked(&self.prepared).remove(&name);
                done("DEALLOCATE")
            }
            Asked::Deallocate(None) => {
                locked(&self.prepared).clear();
                done("DEALLOCATE ALL")
            }
            Asked::Nothing(tag) => done(tag),
        }
    }

    async fn fetch(&self, name: &str, count: Option<usize>) -> PgWireResult<Response> {
        let mut cursors = self.cursors.lock().await;
        let cursor = cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let schema = cursor.response.row_schema();
        let mut kept = Vec::new();
        while count.is_none_or(|count| kept.len() < count) {
            match cursor.response.data_rows().next().await {
                Some(row) => kept.push(Ok(row?)),
                None => break,
            }
        }
        let mut response = QueryResponse::new(schema, stream::iter(kept));
        response.set_command_tag("FETCH");
        Ok(Response::Query(response))
    }

    /// The columns that an answer will have, where it has any.
    pub async fn columns(
        self: &Arc<Conversation>,
        asked: &Asked,
        format: &Format,
    ) -> PgWireResult<Vec<FieldInfo>> {
        match &self.resolved(asked.clone())? {
            Asked::Rows(statement) => {
                let prepared = self.prepare(statement).await?;
                rows::fields(&prepared.schema(), format)
            }
            Asked::Show(name) => Ok(vec![text_field(name, format)]),
            Asked::Fetch(name, _) => {
                let cursors = self.cursors.lock().await;
                let cursor = cursors.get(name).ok_or_else(|| no_cursor(name))?;
                Ok(cursor.response.row_schema().as_ref().clone())
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn no_statement(name: &str) -> pgwire::error::PgWireError {
    error("26000", format!("failed to find the statement `{name}`: prepare it first, on this connection"))
}

fn no_cursor(name: &str) -> pgwire::error::PgWireError {
    error(
        "34000",
        format!("failed to find the cursor `{name}`: declare it first; a transaction's end closes it"),
    )
}

fn text_field(name: &str, format: &Format) -> FieldInfo {
    let format = match format {
        Format::Individual(codes) if codes.is_empty() => FieldFormat::Text,
        other => other.format_for(0),
    };
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, format)
}

fn one_text(name: &str, value: &str, format: &Format) -> PgWireResult<Response> {
    let fields = Arc::new(vec![text_field(name, format)]);
    let mut encoder = DataRowEncoder::new(fields.clone());
    encoder.encode_field(&value)?;
    let row = encoder.take_row();
    let mut response = QueryResponse::new(fields, stream::iter(vec![Ok(row)]));
    response.set_command_tag("SHOW");
    Ok(Response::Query(response))
}
