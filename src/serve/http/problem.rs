//! What went wrong, in the words of the refusal: `application/problem+json`.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value as Json, json};

use crate::query::QueryError;
use crate::serve::Refused;
use crate::serve::gate::Refusal;
use crate::serve::oidc::TokenError;

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    /// What was not done, and the remedy.
    pub detail: String,
    /// Seconds after which it is worth another try.
    pub again: Option<u64>,
}

impl Problem {
    /// `says` finishes "failed to ...".
    pub fn new(status: StatusCode, says: impl std::fmt::Display) -> Problem {
        Problem { status, detail: format!("failed to {says}"), again: None }
    }

    pub fn bad(says: impl std::fmt::Display) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, says)
    }

    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    pub fn json(&self) -> Json {
        json!({
            "type": "about:blank",
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let status = match &refusal {
            Refusal::Query(QueryError::NoReport { .. }) => StatusCode::NOT_FOUND,
            Refusal::Query(QueryError::Memory(_) | QueryError::Size(_)) | Refusal::TooMany(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Refusal::Query(QueryError::Catalogue { .. }) | Refusal::Ended | Refusal::Broken(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Refusal::Query(_) => StatusCode::BAD_REQUEST,
            Refusal::TooLong(_) => StatusCode::GATEWAY_TIMEOUT,
            Refusal::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Lake(_) | Refusal::Threads(_) | Refusal::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::SignedOut => StatusCode::UNAUTHORIZED,
        };
        let again = matches!(refusal, Refusal::Busy(_) | Refusal::Lake(_)).then_some(5);
        let detail = match &refusal {
            // What the engine says of a statement is no sentence of ours.
            Refusal::Query(QueryError::Plan(says)) => format!("failed to run the statement: {says}"),
            refusal => format!("failed to {refusal}"),
        };
        Problem { status, detail, again }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let status = match &refused {
            Refused::Issuer(TokenError::NoRole { .. }) => StatusCode::FORBIDDEN,
            Refused::Issuer(TokenError::Unreachable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        };
        let again = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(30);
        Problem { again, ..Problem::new(status, refused) }
    }
}

/// The parts of a path, or a problem where they are no text.
pub(super) struct At<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<At<T>, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(parts)| At(parts)).map_err(|_| Problem::bad("understand the path: it is no UTF-8"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{}\n", self.json())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"agentrail\""),
            );
        }
        response
    }
}
