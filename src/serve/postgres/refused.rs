//! What a client is told when something does not go, with the code that its drivers know.

use pgwire::error::{ErrorInfo, PgWireError};

use crate::query::QueryError;
use crate::serve::Refusal;

/// An error of a statement.
pub(super) fn error(sqlstate: &str, says: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), sqlstate.to_owned(), says.into())))
}

/// An error that ends the connection.
pub(super) fn fatal(sqlstate: &str, says: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), sqlstate.to_owned(), says.into())))
}

pub(super) fn refusal(refusal: Refusal) -> PgWireError {
    match &refusal {
        Refusal::Query(QueryError::Plan(says)) => error(sqlstate(says), says),
        _ => error(refusal.sqlstate(), format!("failed to {refusal}")),
    }
}

pub(super) fn query(error: QueryError) -> PgWireError {
    refusal(Refusal::Query(error))
}

/// The code for what the engine says of a statement.
fn sqlstate(says: &str) -> &'static str {
    let has = |part: &str| says.contains(part);
    if has("DDL not supported") || has("DML not supported") || has("Statement not supported") {
        "25006"
    } else if has("table '") && has("not found") {
        "42P01"
    } else if has("No field named") {
        "42703"
    } else if has("Invalid function") {
        "42883"
    } else if has("not implemented") || has("not supported") || has("Unsupported") {
        "0A000"
    } else if has("Divide by zero") {
        "22012"
    } else if has("Cast error") || has("Cannot cast") {
        "22P02"
    } else {
        "42601"
    }
}
