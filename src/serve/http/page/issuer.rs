//! Signing in to the page by the issuer: away to it, and back.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;

use super::Failed;
use super::html::address;
use super::sign::{ask, open, own};
use crate::serve::http::Desk;
use crate::serve::http::api::pairs;
use crate::serve::http::problem::Problem;
use crate::serve::http::question::take;
use crate::serve::http::sign_in::{Client, cookie_of, may_try, set_cookie};
use crate::serve::oidc::{Answer, CodeError, Issuer, TRIP_LASTS, TokenError};

/// What a browser takes along to the issuer and back. It is sent with a visit that another site begins, unlike
/// the cookie of a sign-in.
const COOKIE: [&str; 2] = ["__Host-agentrail-trip", "agentrail-trip"];

fn issuer(desk: &Desk) -> Result<&Arc<Issuer>, Failed> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "sign in by an issuer: the page has none here");
    let issuer = desk.gate.directory().issuer().filter(|issuer| issuer.has_page());
    issuer.ok_or_else(|| none().into())
}

/// The `Set-Cookie` of a trip, or of its end.
fn trip(desk: &Desk, value: Option<&str>) -> Option<HeaderValue> {
    let (name, secure) = if desk.is_secure { (COOKIE[0], "; Secure") } else { (COOKIE[1], "") };
    let age = if value.is_some() { TRIP_LASTS } else { 0 };
    let value = value.unwrap_or_default();
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

/// Sends the browser to the issuer.
pub(super) async fn away(
    State(desk): State<Arc<Desk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response<Body>, Failed> {
    let issuer = issuer(&desk)?;
    let next = own(take(&mut pairs(query), "next"));
    // Nobody else begins a sign-in for somebody.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Failed::Elsewhere(address(&["sign-in"], &[("next", &next)])));
    }
    match issuer.send_away(&next).await {
        Ok(away) => {
            let mut response = Failed::Elsewhere(away.location).into_response();
            if let Some(cookie) = trip(&desk, Some(&away.cookie)) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Err(error) => Ok(refused(&desk, &next, &error)),
    }
}

/// Lets in whom the issuer sent back.
pub(super) async fn back(
    State(desk): State<Arc<Desk>>,
    Client(client): Client,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response<Body>, Failed> {
    let issuer = issuer(&desk)?;
    let cookie = cookie_of(&headers, &COOKIE).unwrap_or_default();
    // Each try makes this server ask the issuer.
    let tried = format!("trip {cookie}");
    may_try(&desk, &tried, &client)?;
    let answer = Answer::read(&query.unwrap_or_default())
        .ok_or_else(|| Problem::bad("understand what the issuer sent: it says something twice"))?;
    let mut response = match issuer.come_back(cookie, answer).await {
        Ok(signed) => {
            desk.guesses.right(&tried, &client);
            let bearer = signed.bearer;
            let (person, of) = (bearer.person.key.as_str(), bearer.client.as_deref());
            tracing::info!(person, client = of, from = client, "signed in by the issuer");
            let id = open(&desk, &headers, &bearer.person)?;
            // From here, not from the issuer: else the browser would not bring the cookie along.
            let mut response = Failed::Again(own(Some(signed.next))).into_response();
            if let Ok(cookie) = HeaderValue::from_str(&set_cookie(&desk, Some(&id))) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => {
            tracing::warn!(%error, from = client, "a sign-in by the issuer was refused");
            refused(&desk, "/", &error)
        }
    };
    if let Some(over) = trip(&desk, None) {
        response.headers_mut().append(header::SET_COOKIE, over);
    }
    Ok(response)
}

fn refused(desk: &Desk, next: &str, error: &CodeError) -> Response<Body> {
    let status = match error {
        CodeError::Token(TokenError::NoRole { .. }) => StatusCode::FORBIDDEN,
        CodeError::Unreachable(_) | CodeError::Random => StatusCode::SERVICE_UNAVAILABLE,
        CodeError::Token(TokenError::Unreachable(_)) => StatusCode::SERVICE_UNAVAILABLE,
        CodeError::Exchange(_) => StatusCode::BAD_GATEWAY,
        CodeError::Elsewhere(_) | CodeError::Provider(_) | CodeError::Token(_) => StatusCode::UNAUTHORIZED,
    };
    ask(desk, status, next, "", &format!("failed to {error}")).into_response()
}
