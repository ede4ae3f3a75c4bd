//! Stored rows as what they were drawn from: facts, bindings, identities, spans that were heard.

use std::borrow::Cow;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;

use super::prepare::in_parts;
use crate::attribute::{Binding, Engine};
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Agent, Body, Fact, Heard, Identity, Org, RecordHash, Time};
use crate::query::{Limits as QueryLimits, Pinned, QueryError, Session};
use crate::schema::FileSet;
use crate::store::{Lake, arrow_schema};

/// A session over the lake in which some tables are parts of themselves.
pub(super) fn session(lake: &Lake, parts: &[FileSet]) -> Result<Session, QueryError> {
    session_within(lake, parts, QueryLimits::default())
}

pub(super) fn session_within(
    lake: &Lake,
    parts: &[FileSet],
    limits: QueryLimits,
) -> Result<Session, QueryError> {
    let tables = lake
        .pin()
        .into_iter()
        .map(|set| parts.iter().find(|p| p.table.name == set.table.name).cloned().unwrap_or(set))
        .map(|files| Pinned { schema: arrow_schema(files.table), files, store: lake.store() })
        .collect();
    Session::new(tables, limits)
}

pub(super) async fn each_batch(
    session: &Session,
    sql: &str,
    mut each: impl FnMut(&RecordBatch),
) -> Result<(), QueryError> {
    let mut stream = session.sql(sql).await?.stream;
    while let Some(batch) = stream.try_next().await? {
        each(&batch);
    }
    Ok(())
}

/// Decodes stored records again. `sql` selects url, observed and raw first; `each` is also given the
/// batch and the row a record is from.
pub(super) async fn records(
    session: &Session,
    sql: &str,
    organization: Option<&str>,
    mut each: impl FnMut(&crate::decode::Decoded<'_>, (&RecordBatch, usize)),
) -> Result<(), QueryError> {
    let mut stream = session.sql(sql).await?.stream;
    while let Some(batch) = stream.try_next().await? {
        let text = |column: usize| {
            use datafusion::arrow::{compute::cast, datatypes::DataType};
            cast(batch.column(column), &DataType::Utf8).map_err(|e| QueryError::Plan(e.to_string()))
        };
        let (url, raw) = (text(0)?, text(2)?);
        let (url, raw) = (url.as_string::<i32>(), raw.as_string::<i32>());
        let observed = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let one = |row: usize| {
            let delivery = Delivery {
                observed: Time::from_unix_micros(observed.value(row)),
                url: url.is_valid(row).then(|| url.value(row)),
                organization,
                limits: Limits::default(),
            };
            let mut decoded = decode(raw.value(row).as_bytes(), &delivery);
            // A row is one record: what lies inside it has a row of its own.
            decoded.facts.truncate(1);
            if let (Some(fact), Some(key)) = (decoded.facts.first_mut(), self::text(&batch, row, "key")) {
                fact.key = key;
            }
            decoded
        };
        let rows: Vec<usize> = (0..batch.num_rows()).filter(|row| raw.is_valid(*row)).collect();
        let decoded = in_parts(&rows, |rows| rows.iter().map(|row| one(*row)).collect::<Vec<_>>());
        for (row, decoded) in rows.iter().zip(decoded.iter().flatten()) {
            each(decoded, (&batch, *row));
        }
    }
    Ok(())
}

/// A text of a stored row by the name of its column.
pub(super) fn text(batch: &RecordBatch, row: usize, name: &str) -> Option<String> {
    let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_owned())
}

pub(super) fn bigint(batch: &RecordBatch, row: usize, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

pub(super) fn time(batch: &RecordBatch, row: usize, name: &str) -> Option<Time> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    column.is_valid(row).then(|| Time::from_unix_micros(column.value(row)))
}

fn flag(batch: &RecordBatch, row: usize, name: &str) -> Option<bool> {
    let column = batch.column_by_name(name)?.as_boolean_opt()?;
    column.is_valid(row).then(|| column.value(row))
}

fn organization(batch: &RecordBatch, row: usize) -> Org {
    Org { id: text(batch, row, "organization_id"), name: text(batch, row, "organization") }
}

fn record(batch: &RecordBatch, row: usize) -> RecordHash {
    text(batch, row, "record_hash").and_then(|hex| RecordHash::parse(&hex)).unwrap_or_default()
}

pub(super) fn registrations(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        let text = |name: &str| text(batch, row, name);
        engine.binding(Binding {
            organization: organization(batch, row),
            agent_id: bigint(batch, row, "agent_id"),
            agent_name: text("agent_name"),
            pool_id: bigint(batch, row, "pool_id"),
            pool_name: text("pool_name"),
            machine: text("machine"),
            identity_id: text("identity_id").unwrap_or_default(),
            identity_kind: text("identity_kind").unwrap_or_default(),
            identity_name: text("identity_name"),
            role: text("role").unwrap_or_default(),
            from: time(batch, row, "from").unwrap_or_default(),
            until: time(batch, row, "until"),
            record: record(batch, row),
            known: time(batch, row, "observed").unwrap_or_default(),
        });
    }
}

/// The agent of a row of `agents`.
pub(super) fn agent(batch: &RecordBatch, row: usize) -> Agent {
    let text = |name: &str| text(batch, row, name);
    Agent {
        agent_id: bigint(batch, row, "agent_id").unwrap_or_default(),
        name: text("name"),
        pool_id: bigint(batch, row, "pool_id"),
        version: text("version"),
        os: text("os"),
        enabled: flag(batch, row, "enabled"),
        status: text("status"),
        provisioning_state: text("provisioning_state"),
        created: time(batch, row, "created"),
        status_changed: time(batch, row, "status_changed"),
        max_parallelism: bigint(batch, row, "max_parallelism"),
        client_id: text("client_id"),
        key_fingerprint: text("key_fingerprint"),
        machine: text("machine"),
        deployment_group_id: bigint(batch, row, "deployment_group_id"),
        capabilities: capabilities(batch, row).unwrap_or_default(),
    }
}

pub(super) fn agents(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        engine.learn(&Fact {
            kind: "agent".to_owned(),
            key: text(batch, row, "key").unwrap_or_default(),
            occurred: None,
            observed: time(batch, row, "observed").unwrap_or_default(),
            organization: organization(batch, row),
            project_id: None,
            url: None,
            body: Body::Agent(Box::new(agent(batch, row))),
            raw: Cow::Borrowed(&[]),
            hash: record(batch, row),
        });
    }
}

fn capabilities(batch: &RecordBatch, row: usize) -> Option<Vec<(String, Option<String>)>> {
    let list = batch.column_by_name("capabilities")?.as_list_opt::<i32>()?;
    let items = list.is_valid(row).then(|| list.value(row))?;
    let items = items.as_struct_opt()?;
    let (names, values) = (items.column(0).as_string_opt::<i32>()?, items.column(1).as_string_opt::<i32>()?);
    Some(names.iter().zip(values).filter_map(|(n, v)| Some((n?.to_owned(), v.map(str::to_owned)))).collect())
}

/// Tells the engine which pools the audit log has deleted.
pub(super) fn deleted_pools(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        let (id, name) = (text(batch, row, "resource_id"), text(batch, row, "resource_name"));
        if let Some(at) = time(batch, row, "occurred") {
            let pool = (id.and_then(|id| id.parse().ok()), name.as_deref());
            engine.pool_deleted(&organization(batch, row), pool, at);
        }
    }
}

pub(super) fn tokens(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        let text = |name: &str| text(batch, row, name);
        let identity = Identity {
            kind: text("kind").unwrap_or_default(),
            id: text("id").unwrap_or_default(),
            cuid: text("cuid"),
            application_id: text("application_id"),
            object_id: text("object_id"),
            tenant_id: text("tenant_id"),
            name: text("name"),
            principal_name: text("principal_name"),
            scopes: text("scopes"),
            valid_from: time(batch, row, "valid_from"),
            valid_until: time(batch, row, "valid_until"),
        };
        let observed = time(batch, row, "observed").unwrap_or_default();
        engine.identity(&organization(batch, row), &identity, observed, record(batch, row));
    }
}

/// Tells the engine when its sources were heard.
pub(super) async fn heard(lake: &Lake, part: FileSet, engine: &mut Engine) -> Result<(), QueryError> {
    let sql = "select organization_id, organization, source, pool_id, \"from\", until from lake.coverage";
    each_batch(&session(lake, &[part])?, sql, |batch| {
        for row in 0..batch.num_rows() {
            let heard = Heard {
                source: text(batch, row, "source").unwrap_or_default(),
                pool_id: bigint(batch, row, "pool_id"),
                run_id: None,
                from: time(batch, row, "from").unwrap_or_default(),
                until: time(batch, row, "until").unwrap_or_default(),
                listed: None,
            };
            engine.heard(&organization(batch, row), &heard);
        }
    })
    .await
}
