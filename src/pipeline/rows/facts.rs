//! Rows of `facts`, and of the small typed tables: grants, sign-ins, coverage.

use super::{day, end, end_dated, organization};
use crate::model::{Connection, Fact, Heard, Permission, SignIn};
use crate::store::{Builder, RowKey};

/// One record that is no audit event, raw.
pub(super) fn append(row: &mut Builder, fact: &Fact<'_>, hash: &str) {
    row.text(Some(&fact.key));
    row.text(Some(&fact.kind));
    row.time(fact.occurred);
    row.time(Some(fact.observed));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.text(fact.url.as_deref());
    row.text(Some(hash));
    row.text(std::str::from_utf8(&fact.raw).ok());
    row.end_row(RowKey::new(&fact.key), day(fact));
}

pub(super) fn connection(row: &mut Builder, fact: &Fact<'_>, connection: &Connection, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.text(Some("connection"));
    row.text(connection.kind.as_deref());
    row.text(Some(&connection.connection_id));
    row.text(connection.name.as_deref());
    row.text(connection.scheme.as_deref());
    row.text(connection.application_id.as_deref());
    row.text(connection.target.as_deref());
    row.int(None);
    row.flag(None);
    row.text(connection.created_by.as_deref());
    row.time(None);
    row.time(Some(fact.observed));
    end(row, fact, hash);
}

pub(super) fn permission(row: &mut Builder, fact: &Fact<'_>, permission: &Permission, hash: &str) {
    let pipeline = permission.pipeline_id.map_or_else(|| "all".to_owned(), |p| p.to_string());
    let key = format!("{}/{pipeline}", fact.key);
    row.text(Some(&key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.text(Some("permission"));
    row.text(Some(&permission.resource_kind));
    row.text(Some(&permission.resource_id));
    row.text(None);
    row.text(None);
    row.text(None);
    row.text(None);
    row.int(permission.pipeline_id);
    row.flag(permission.authorized);
    row.text(permission.authorized_by.as_deref());
    row.time(permission.authorized_at);
    row.time(Some(fact.observed));
    row.text(Some(hash));
    row.end_row(RowKey::new(&key), None);
}

pub(super) fn sign_in(row: &mut Builder, fact: &Fact<'_>, sign_in: &SignIn, hash: &str) {
    row.text(Some(&fact.key));
    row.text(Some(&sign_in.sign_in_id));
    row.time(fact.occurred);
    row.time(Some(fact.observed));
    organization(row, fact);
    row.text(Some(&sign_in.kind));
    row.text(sign_in.application_id.as_deref());
    row.text(sign_in.service_principal_id.as_deref());
    row.text(sign_in.name.as_deref());
    row.text(sign_in.resource_id.as_deref());
    row.text(sign_in.resource_name.as_deref());
    row.text(sign_in.ip.as_deref());
    row.text(sign_in.token_id.as_deref());
    row.text(sign_in.tenant_id.as_deref());
    row.text(sign_in.result.as_deref());
    row.text(sign_in.credential_key_id.as_deref());
    end_dated(row, fact, hash);
}

pub(super) fn heard(row: &mut Builder, fact: &Fact<'_>, heard: &Heard, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(Some(&heard.source));
    row.int(heard.pool_id);
    row.time(Some(heard.from));
    row.time(Some(heard.until));
    end(row, fact, hash);
}
