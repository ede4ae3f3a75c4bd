//! What a client is told when something does not go, with the code of gRPC that its drivers know.

use arrow_flight::error::FlightError;
use datafusion::arrow::error::ArrowError;
use tonic::{Code, Status};

use crate::query::QueryError;
use crate::serve::Refusal;

/// Clients take no more of a head than some kilobytes, and the message travels in one, escaped.
const MOST_SAID: usize = 2000;

/// `says` finishes "failed to ...".
pub(super) fn refused(code: Code, says: impl std::fmt::Display) -> Status {
    let mut says = format!("failed to {says}");
    if says.len() > MOST_SAID {
        says.truncate(says.floor_char_boundary(MOST_SAID));
        says.push_str("...");
    }
    Status::new(code, says)
}

pub(super) fn refusal(refusal: Refusal) -> Status {
    let code = match &refusal {
        Refusal::Query(QueryError::Memory(_)) | Refusal::TooMany(_) | Refusal::Busy(_) => {
            Code::ResourceExhausted
        }
        Refusal::Query(QueryError::Catalogue { .. }) | Refusal::Ended | Refusal::Broken(_) => Code::Internal,
        Refusal::Query(_) => Code::InvalidArgument,
        Refusal::TooLong(_) => Code::DeadlineExceeded,
        Refusal::Cancelled => Code::Cancelled,
        Refusal::SignedOut => Code::Unauthenticated,
        Refusal::Lake(_) | Refusal::Threads(_) => Code::Unavailable,
    };
    match &refusal {
        // What the engine says of a statement is no sentence of ours.
        Refusal::Query(QueryError::Plan(says)) => refused(code, format!("run the statement: {says}")),
        refusal => refused(code, refusal),
    }
}

/// Something that writes.
pub(super) fn only_reads(what: &str) -> Status {
    refused(Code::Unimplemented, format!("run {what}: this server only reads"))
}

pub(super) fn wrong(says: impl std::fmt::Display) -> Status {
    refused(Code::InvalidArgument, says)
}

pub(super) fn unwritten(error: ArrowError) -> Status {
    refused(Code::Internal, format!("write the answer: {error}"))
}

pub(super) fn flight(error: FlightError) -> Status {
    match error {
        FlightError::Arrow(error) => unwritten(error),
        error => error.into(),
    }
}
